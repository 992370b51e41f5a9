import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type GroupState, noWorker, pausedByPerson } from '../../pipeline/group-state.ts'
import type { GroupStatus } from '../../pipeline/pipeline.ts'
import { type ObservedParts, observedWith } from './observed.test-support.ts'
import { warningsOf } from './warnings.ts'

const mebibyte = 1024 * 1024

const groupOf = (parts: Partial<GroupStatus>): GroupStatus =>
  observedWith({ group: parts }).status.topics[0]!.groups[0]!

/** The warnings for two observations, ten seconds apart. */
function warningsFor(before: ObservedParts, now: ObservedParts): string[] {
  const pair = [observedWith({ uptimeSeconds: 10, ...before }), observedWith({ uptimeSeconds: 20, ...now })] as const
  return warningsOf(...pair).map(({ code, message }) => `${code}: ${message}`)
}

test('a healthy server has no warnings, even a busy one', () => {
  assert.deepEqual(warningsFor({}, {}), [])
  assert.deepEqual(warningsOf(null, observedWith()), [])
  const busy = { group: { waiting: 40_000, oldestWaitingSeconds: 1.2 }, ledger: { landed: 90_000, accepted: 130_000 } }
  assert.deepEqual(warningsFor({}, busy), [])
  assert.deepEqual(
    warningsFor({ group: { waiting: 12_400 } }, { group: { waiting: 11_000, oldestWaitingSeconds: 8 } }),
    [],
  )
})

test('a group that falls behind: by how much, how fast, and what to do', () => {
  const now = { group: { waiting: 12_400, oldestWaitingSeconds: 8 }, ledger: { landed: 500 } }
  assert.deepEqual(warningsFor({ group: { waiting: 9400 } }, now), [
    'behind: landing is behind by 12,400 events, growing by 300/s: start another worker process, or find out what slows ' +
      'the database, or slow the producers',
  ])
  const embedded = { ...now, status: { log: { driver: 'embedded', epoch: 1 } } }
  assert.deepEqual(warningsFor({ group: { waiting: 9400 } }, embedded), [
    'behind: landing is behind by 12,400 events, growing by 300/s: find out what slows the database, or slow the producers',
  ])
  const state = noWorker('no process with the role worker is running')
  assert.deepEqual(warningsFor({ group: { waiting: 9400 } }, { ...now, group: { ...now.group, state } }), [
    'no_worker: landing of events: no worker: no process with the role worker is running: start one, nothing is lost',
  ])
})

test('an event that waits for long: for how long, and whether the group is catching up', () => {
  const waiting = { group: { waiting: 700, oldestWaitingSeconds: 95.7 }, ledger: { landed: 10 } }
  assert.deepEqual(warningsFor({ group: { waiting: 700 } }, waiting), [
    'oldest_waits: the oldest event of events/landing has waited for 95 s: read the log output of the server for the ' +
      'error that it is retried for',
  ])
  assert.deepEqual(warningsFor({ group: { waiting: 1700 } }, waiting), [
    'oldest_waits: the oldest event of events/landing has waited for 95 s: the group is catching up, about 7 s left',
  ])
})

/** A status with groups in these states. */
function partsWith(storeUp: boolean, ...states: readonly GroupState[]): ObservedParts {
  const groups = states.map((state) => groupOf({ state, waiting: 12_400, oldestWaitingSeconds: 95 }))
  return {
    status: { store: { driver: 'postgres', up: storeUp }, topics: [{ ...observedWith().status.topics[0]!, groups }] },
  }
}

const sinceMs = Date.UTC(2026, 10, 21, 9, 10, 5)
const outage = (reason: string): GroupState => ({ is: 'outage', by: 'system', reason, sinceMs })
const unreachable = outage('postgres is unreachable: connect ECONNREFUSED')
const storeIsDown = 'store_down: postgres does not answer: start the database; events wait in the log, nothing is lost'

test('a group with an outage', () => {
  const since = 'outage: landing of events: outage since 2026-11-21T09:10:05.000Z: '
  assert.deepEqual(warningsFor({}, partsWith(false, unreachable)), [
    `${since}postgres is unreachable: connect ECONNREFUSED: start the database, nothing is lost`,
  ])
  assert.deepEqual(warningsFor({}, partsWith(true, outage('postgres refuses: 42501'))), [
    `${since}postgres refuses: 42501: fix the cause, nothing is lost`,
  ])
})

test('a dead letter that the database refuses is no outage of its group, and hides none', () => {
  const reason = 'the database refuses dead letter 7 and 2 more: 23514: no'
  const refusal: GroupState = { is: 'running', by: null, reason, sinceMs }
  assert.deepEqual(warningsFor({}, partsWith(true, refusal)), [
    `failing: landing of events: running, but since 2026-11-21T09:10:05.000Z: ${reason}: fix the cause, nothing is lost`,
  ])
  assert.equal(warningsFor({}, partsWith(false, refusal)).at(-1), storeIsDown)
})

test('a group that a person paused, during an outage too', () => {
  const resume = 'millrace groups resume landing ends the pause, nothing is lost'
  assert.deepEqual(warningsFor({}, partsWith(true, pausedByPerson('the table is being moved'))), [
    `paused: landing of events: paused by a person: the table is being moved: ${resume}`,
  ])
  assert.deepEqual(warningsFor({}, partsWith(false, pausedByPerson(''))), [
    `paused: landing of events: paused by a person: ${resume}`,
    storeIsDown,
  ])
  const { status } = partsWith(true, pausedByPerson(''))
  const topics = status!.topics!.map((topic) => ({ ...topic, name: 'orders' }))
  assert.deepEqual(warningsFor({}, { status: { topics } }), [
    'paused: landing of orders: paused by a person: millrace groups resume landing --topic orders ends the pause, nothing is lost',
  ])
})

test('a database that does not answer is reported, unless a group has an outage because of it', () => {
  assert.deepEqual(warningsFor({}, { status: { store: { driver: 'postgres', up: false } } }), [storeIsDown])
  const [, ...others] = warningsFor({}, partsWith(false, pausedByPerson('the table is being moved')))
  assert.deepEqual(others, [storeIsDown])
  assert.deepEqual(
    warningsFor({}, partsWith(false, pausedByPerson(''), unreachable)).filter((line) => line === storeIsDown),
    [],
  )
})

test('dead letters that wait for an operator', () => {
  const letters = (open: number, more = false) => ({ store: { deadLetters: { open, redriven: 7, more } } })
  assert.deepEqual(warningsFor({}, letters(1)), ['dead_letters: 1 dead letter: millrace dead-letters list'])
  assert.deepEqual(warningsFor({}, { ...letters(3), ledger: { dead: 20 } }), [
    'dead_letters: 3 dead letters, 2.0/s more: millrace dead-letters list',
  ])
  assert.deepEqual(warningsFor({}, letters(9990, true)), [
    'dead_letters: at least 9,990 dead letters: millrace dead-letters list',
  ])
  assert.deepEqual(warningsFor({}, { observations: { store: null } }), [])
})

test('a ledger that does not balance, and events that were lost', () => {
  assert.deepEqual(warningsFor({}, { ledger: { balanced: false } }), [
    'ledger_unbalanced: the ledger of events/landing does not balance: run millrace doctor',
  ])
  assert.deepEqual(warningsFor({}, { ledger: { balanced: null } }), [])
  assert.deepEqual(warningsFor({}, { ledger: { lost: 1200 } }), [
    'events_lost: 1,200 events of events/landing lost with damaged or removed log entries: find them in the log output ' +
      'of the server; producers that still have them can send them again',
  ])
})

test('a log that fills up is reported early', () => {
  const log = (used: number, limit: number | null) => {
    return { log: { usedBytes: used * mebibyte, limitBytes: limit === null ? null : limit * mebibyte } }
  }
  assert.deepEqual(warningsFor({}, log(91, 100)), [
    'log_filling: Redis memory at 91 % of maxmemory: raise it, or keep fewer settled events (MILLRACE_RETENTION_BYTES); ' +
      'when it is full, publishes are refused',
  ])
  assert.deepEqual(warningsFor({}, log(79, 100)), [])
  assert.deepEqual(warningsFor({}, log(5000, null)), [])
})

test('each part of the server that fails is named, once', () => {
  const cause = (component: string, message: string) => ({ component, reason: 'unavailable', message })
  const causes = [
    cause('log', 'a:6379 refuses writes: MISCONF'),
    cause('store', 'postgres is unreachable'),
    cause('publishing', 'publishes fail to events/0/high'),
    cause('landing', 'landing of events cannot read the log'),
  ]
  assert.deepEqual(
    warningsFor({}, { status: { state: 'degraded', causes } })[0],
    'failing: log: a:6379 refuses writes: MISCONF',
  )
  assert.deepEqual(warningsFor({}, { status: { state: 'unready', causes } }), [
    'takes_nothing: log: a:6379 refuses writes: MISCONF',
    'failing: publishing: publishes fail to events/0/high',
    'failing: landing: landing of events cannot read the log',
  ])
  const paused = partsWith(false, unreachable)
  assert.deepEqual(warningsFor({}, { status: { ...paused.status, causes: causes.slice(3) } }), [
    'outage: landing of events: outage since 2026-11-21T09:10:05.000Z: postgres is unreachable: connect ECONNREFUSED: ' +
      'start the database, nothing is lost',
  ])
})

test('ids that are reused for other content, and rejected events', () => {
  const landing = (conflicts: number) => {
    return {
      observations: {
        ...observedWith().observations,
        atSeconds: 20,
        landing: { ...observedWith().observations.landing!, conflicts },
      },
    }
  }
  assert.deepEqual(warningsFor({}, landing(1)), [
    'conflicts: 1 event had the id of an earlier event but other content: the earlier one is kept; the log of the ' +
      'server names them; find the producer that reuses ids',
  ])
  const published = { ...observedWith().observations.published!, rejected: 400 }
  assert.deepEqual(warningsFor({}, { observations: { published } }), [
    'rejecting: 40/s rejected: millrace_events_rejected_total at /metrics has the reasons',
  ])
})

test('text from others is escaped for the terminal', () => {
  const [line] = warningsFor({}, { group: { state: pausedByPerson('by \u001b[2Jme') } })
  assert.ok(line!.includes('\\u001b[2Jme') && !line!.includes('\u001b'))
})
