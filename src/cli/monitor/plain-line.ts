// The monitor without a terminal: one line per update, as text or JSON.

import { observed as observedShape } from '../../wire/status.ts'
import { formatSeconds } from '../duration.ts'
import { formatTime, visibleText } from '../shown-text.ts'
import { formatCount } from '../table.ts'
import { formatDuration, formatOpenLetters, formatRate, noneOr } from './format.ts'
import type { MonitorState } from './monitor-state.ts'
import type { Rates } from './rates.ts'

/** One line of text; a value that is not known, or not yet, is `unknown`. */
export function plainLine({ observed, rates, warnings, outage }: MonitorState, nowMs: number): string {
  const at = formatTime(nowMs * 1000)
  if (outage !== null) {
    const since = formatTime(outage.sinceMs * 1000)
    return `${at} no answer since ${since}: ${visibleText(outage.reason)}; retrying`
  }
  if (observed === null) return `${at} connecting`
  const groups = observed.status.topics.flatMap(({ groups }) => groups)
  const waiting = total(groups.map((group) => group.waiting))
  const oldest = groups.map((group) => group.oldestWaitingSeconds).filter((seconds) => seconds !== null)
  const { landing } = rates
  const facts = [
    ...(['accepted', 'landed', 'rejected', 'dead'] as const).map((rate) => `${rate} ${formatRate(rates[rate])}`),
    `waiting ${formatCount(waiting)}`,
    `oldest ${oldest.length === 0 ? noneOr(waiting) : formatSeconds(Math.max(...oldest))}`,
    `in flight ${formatCount(total(groups.map((group) => group.inFlight)))}`,
    ...(landing?.rowsPerBatch == null
      ? []
      : [
          `rows per COPY ${formatCount(Math.round(landing.rowsPerBatch))}`,
          `p99 ${formatDuration(landing.p99Seconds)}`,
        ]),
    `dead letters ${formatOpenLetters(observed.observations.store)}`,
  ]
  return [`${at} ${facts.join(', ')}`, ...warnings.map(({ message }) => `! ${message}`)].join(' ')
}

/** The names are a public interface. Rates are events per second; null is unknown. */
export function jsonLine({ observed, rates, warnings, outage }: MonitorState, nowMs: number): object {
  const at = formatTime(nowMs * 1000)
  if (outage !== null) return { at, away: { since: formatTime(outage.sinceMs * 1000), reason: outage.reason } }
  if (observed === null) return { at }
  return {
    at,
    ...observedShape.toJson(observed),
    rates: ratesJson(rates),
    warnings: warnings.map(({ code, message }) => ({ code, message })),
  }
}

function ratesJson({ accepted, landed, rejected, dead, landing }: Rates): object {
  return {
    accepted,
    landed,
    rejected,
    dead,
    rows_per_batch: landing?.rowsPerBatch ?? null,
    p50_seconds: landing?.p50Seconds ?? null,
    p99_seconds: landing?.p99Seconds ?? null,
  }
}

/** Null when one of the counts is unknown. */
function total(counts: readonly (number | null)[]): number | null {
  return counts.reduce<number | null>((sum, count) => (sum === null || count === null ? null : sum + count), 0)
}
