// The summary that `millrace produce` prints at its end.

import type { PublisherRejection, PublisherTotals } from '../client/publish-tally.ts'
import type { ErrorCode, MillraceError } from '../errors.ts'
import type { Terminal } from './terminal.ts'

export interface ProduceResult {
  readonly accepted: number
  readonly dropped: number
  /** Rejected by the server or by the client. */
  readonly rejected: number
  /** Sent and not acknowledged. */
  readonly unknown: number
  readonly unsent: number
  readonly seconds: number
  readonly eventsPerSecond: number
}

export function resultOf(totals: PublisherTotals, refusedByClient: number, elapsedMs: number): ProduceResult {
  const seconds = elapsedMs / 1000
  const { accepted, dropped, unknown, unsent } = totals
  return {
    accepted,
    dropped,
    rejected: totals.rejected + refusedByClient,
    unknown,
    unsent,
    seconds: Number(seconds.toFixed(2)),
    eventsPerSecond: seconds === 0 ? 0 : Math.round(accepted / seconds),
  }
}

/** Prints the summary, always the last line on stdout. */
export function printResult(result: ProduceResult, terminal: Terminal): void {
  const { accepted, dropped, rejected, unknown, unsent, seconds, eventsPerSecond } = result
  if (terminal.json) {
    terminal.printJson({ accepted, dropped, rejected, unknown, unsent, seconds, events_per_second: eventsPerSecond })
    return
  }
  const counts = `accepted ${accepted}, dropped ${dropped}, rejected ${rejected}`
  terminal.print(`${counts} in ${seconds.toFixed(2)} s (${eventsPerSecond} events/s)`)
}

/** Counts rejected events by code, and keeps the first message of each code. */
export class RejectionSummary {
  /** Events that the client refused and did not send. */
  refusedByClient = 0
  readonly #byCode = new Map<ErrorCode, { count: number; readonly first: string }>()

  addRejections(rejections: readonly PublisherRejection[]): void {
    for (const { code, message, id } of rejections) this.#add(code, id === '' ? message : `${message} (id ${id})`)
  }

  addRefusal({ code, message }: MillraceError): void {
    this.refusedByClient++
    this.#add(code, message)
  }

  lines(): string[] {
    return [...this.#byCode].map(([code, { count, first }]) => {
      return count === 1 ? `rejected as ${code}: ${first}` : `${count} rejected as ${code}, the first: ${first}`
    })
  }

  #add(code: ErrorCode, first: string): void {
    const known = this.#byCode.get(code)
    if (known === undefined) this.#byCode.set(code, { count: 1, first })
    else known.count++
  }
}
