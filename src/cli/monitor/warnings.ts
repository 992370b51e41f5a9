// Warnings: what is wrong and what to do about it, computed from two observations of a server.

import { defaultTopic } from '../../event/event.ts'
import { groupStateText } from '../../pipeline/group-state.ts'
import type { GroupStatus, LedgerRow, Observed, Status } from '../../pipeline/pipeline.ts'
import { visibleText } from '../shown-text.ts'
import { formatCountOf } from '../table.ts'
import { formatRate } from './format.ts'
import { groupKey, type Rates, ratesOf } from './rates.ts'

export type WarningCode =
  | 'takes_nothing'
  | 'failing'
  | 'ledger_unbalanced'
  | 'events_lost'
  | 'paused'
  | 'outage'
  | 'no_worker'
  | 'limited'
  | 'store_down'
  | 'behind'
  | 'oldest_waits'
  | 'log_filling'
  | 'dead_letters'
  | 'conflicts'
  | 'rejecting'

export interface Warning {
  readonly code: WarningCode
  /** What is wrong and, after a colon, what to do. */
  readonly message: string
}

/** A smaller backlog is normal traffic between a publish and its row. */
const minBehindEvents = 1000
const minBehindSeconds = 2

/** Longer than a batch takes that lands at its first attempt. */
const maxWaitSeconds = 30

/** Share of the limit at which the warning begins, early enough to act. */
const logFillingShare = 0.8

/** @param before an earlier observation of the same server, or null. */
export function warningsOf(before: Observed | null, now: Observed): readonly Warning[] {
  const rates = ratesOf(before, now)
  const { status } = now
  const groups = status.topics.flatMap(({ name: topic, groups }) => groups.map((group) => ({ topic, group })))
  return [
    ...failingParts(status),
    ...status.ledger.flatMap(ledgerWarnings),
    ...groups.flatMap(({ topic, group }) => stateWarnings(topic, group, status)),
    ...storeDown(status),
    ...groups.flatMap(({ topic, group }) => behindWarnings(topic, group, status, rates)),
    ...logFilling(now),
    ...deadLetters(now, rates),
    ...conflicts(rates),
    ...rejecting(rates),
  ]
}

/** The store, and groups with an outage, have warnings of their own. */
function failingParts(status: Status): Warning[] {
  return status.causes.flatMap(({ component, message }): Warning[] => {
    if (component === 'store' || (component === 'landing' && hasOutage(status))) return []
    const text = `${component}: ${visibleText(message)}`
    const takesNothing = component === 'log' && status.state === 'unready'
    return [{ code: takesNothing ? 'takes_nothing' : 'failing', message: text }]
  })
}

function ledgerWarnings({ topic, group, balanced, lost }: LedgerRow): Warning[] {
  const found: Warning[] = []
  if (balanced === false) {
    const message = `the ledger of ${topic}/${group} does not balance: run millrace doctor`
    found.push({ code: 'ledger_unbalanced', message })
  }
  if (lost !== null && lost > 0) {
    const message =
      `${formatCountOf(lost, 'event')} of ${topic}/${group} lost with damaged or removed log entries: ` +
      'find them in the log output of the server; producers that still have them can send them again'
    found.push({ code: 'events_lost', message })
  }
  return found
}

function stateWarnings(topic: string, { name, state }: GroupStatus, { store }: Status): Warning[] {
  if (state.is === 'running' && state.reason === null) return []
  const message = `${name} of ${topic}: ${visibleText(groupStateText(state))}`
  if (state.is === 'paused') {
    const which = topic === defaultTopic ? name : `${name} --topic ${topic}`
    return [{ code: 'paused', message: `${message}: millrace groups resume ${which} ends the pause, nothing is lost` }]
  }
  if (state.is === 'limited') return [{ code: 'limited', message }]
  if (state.is === 'no_worker') return [{ code: 'no_worker', message: `${message}: start one, nothing is lost` }]
  const fix = store.up ? 'fix the cause' : 'start the database'
  return [{ code: state.is === 'outage' ? 'outage' : 'failing', message: `${message}: ${fix}, nothing is lost` }]
}

/** Not repeated when a group has an outage because of it: that warning says more. */
function storeDown(status: Status): Warning[] {
  const { store } = status
  if (store.up || hasOutage(status)) return []
  const message = `${store.driver} does not answer: start the database; events wait in the log, nothing is lost`
  return [{ code: 'store_down', message }]
}

function hasOutage({ topics }: Status): boolean {
  return topics.some(({ groups }) => groups.some(({ state }) => state.is === 'outage'))
}

function behindWarnings(topic: string, group: GroupStatus, { log }: Status, rates: Rates): Warning[] {
  const { name, waiting, oldestWaitingSeconds, state } = group
  if (state.is !== 'running' || state.reason !== null) return []
  const { growth = null } = rates.groups.get(groupKey(topic, name)) ?? {}
  const isBehind = (waiting ?? 0) >= minBehindEvents && (oldestWaitingSeconds ?? Infinity) >= minBehindSeconds
  if (isBehind && growth !== null && growth >= 1) {
    const help = log.driver === 'redis' ? 'start another worker process, or ' : ''
    const fix = `${help}find out what slows the database, or slow the producers`
    const message = `${name} is behind by ${formatCountOf(waiting, 'event')}, growing by ${formatRate(growth)}: ${fix}`
    return [{ code: 'behind', message: topic === defaultTopic ? message : `${topic}: ${message}` }]
  }
  if (oldestWaitingSeconds !== null && oldestWaitingSeconds >= maxWaitSeconds) {
    const catchesUp = growth !== null && growth < 0 && waiting !== null
    const fix = catchesUp
      ? `the group is catching up, about ${Math.ceil(waiting / -growth)} s left`
      : 'read the log output of the server for the error that it is retried for'
    const message = `the oldest event of ${topic}/${name} has waited for ${Math.floor(oldestWaitingSeconds)} s: ${fix}`
    return [{ code: 'oldest_waits', message }]
  }
  return []
}

function logFilling({ status, observations }: Observed): Warning[] {
  const { usedBytes, limitBytes } = observations.log
  if (usedBytes === null || limitBytes === null || usedBytes < logFillingShare * limitBytes) return []
  const what = status.log.driver === 'redis' ? 'Redis memory' : 'the log'
  const limit = status.log.driver === 'redis' ? 'maxmemory' : 'its limit'
  const message =
    `${what} at ${Math.floor((usedBytes / limitBytes) * 100)} % of ${limit}: raise it, or keep fewer settled events ` +
    '(MILLRACE_RETENTION_BYTES); when it is full, publishes are refused'
  return [{ code: 'log_filling', message }]
}

function deadLetters({ observations }: Observed, { dead }: Rates): Warning[] {
  const { open = 0, more = false } = observations.store?.deadLetters ?? {}
  if (open === 0) return []
  const count = `${more ? 'at least ' : ''}${formatCountOf(open, 'dead letter')}`
  const growing = dead !== null && dead > 0 ? `, ${formatRate(dead)} more` : ''
  return [{ code: 'dead_letters', message: `${count}${growing}: millrace dead-letters list` }]
}

function conflicts({ landing }: Rates): Warning[] {
  if (landing === null || landing.conflicts === 0) return []
  const message =
    `${formatCountOf(landing.conflicts, 'event')} had the id of an earlier event but other content: the earlier one is kept; ` +
    'the log of the server names them; find the producer that reuses ids'
  return [{ code: 'conflicts', message }]
}

function rejecting({ rejected }: Rates): Warning[] {
  if (rejected === null || rejected === 0) return []
  const message = `${formatRate(rejected)} rejected: millrace_events_rejected_total at /metrics has the reasons`
  return [{ code: 'rejecting', message }]
}
