import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pausedText } from '../../pipeline/paused-text.ts'
import type { GroupStatus } from '../../pipeline/pipeline.ts'
import { type Look, lookAt } from './observed.test-support.ts'
import { warningsOf } from './warnings.ts'

const mebibyte = 1024 * 1024

const groupOf = (parts: Partial<GroupStatus>): GroupStatus => lookAt({ group: parts }).status.topics[0]!.groups[0]!

/** What is said of two looks, ten seconds apart. */
function said(before: Look, now: Look): string[] {
  const looks = [lookAt({ uptimeSeconds: 10, ...before }), lookAt({ uptimeSeconds: 20, ...now })] as const
  return warningsOf(...looks).map(({ code, message }) => `${code}: ${message}`)
}

test('nothing is said while all is well, be it busy', () => {
  assert.deepEqual(said({}, {}), [])
  assert.deepEqual(warningsOf(null, lookAt()), [])
  const busy = { group: { waiting: 40_000, oldestWaitingSeconds: 1.2 }, ledger: { landed: 90_000, accepted: 130_000 } }
  assert.deepEqual(said({}, busy), [])
  assert.deepEqual(said({ group: { waiting: 12_400 } }, { group: { waiting: 11_000, oldestWaitingSeconds: 8 } }), [])
})

test('a group that falls behind: by how much, how fast, and what helps', () => {
  const now = { group: { waiting: 12_400, oldestWaitingSeconds: 8 }, ledger: { landed: 500 } }
  assert.deepEqual(said({ group: { waiting: 9400 } }, now), [
    'behind: landing is behind by 12,400 events and grows by 300/s: start another worker process, or see what slows the ' +
      'database, or slow the producers',
  ])
  const embedded = { ...now, status: { log: { driver: 'embedded', epoch: 1 } } }
  assert.deepEqual(said({ group: { waiting: 9400 } }, embedded), [
    'behind: landing is behind by 12,400 events and grows by 300/s: see what slows the database, or slow the producers',
  ])
  const unattended = { ...now, ledger: { landed: 0 } }
  assert.deepEqual(said({ group: { waiting: 9400 } }, unattended), [
    'behind: landing is behind by 12,400 events and grows by 300/s: nobody takes them: is a process with ' +
      'MILLRACE_ROLES=worker running?',
  ])
})

test('an event that waits for long: how long, and whether that passes', () => {
  const waiting = { group: { waiting: 700, oldestWaitingSeconds: 95.7 }, ledger: { landed: 10 } }
  assert.deepEqual(said({ group: { waiting: 700 } }, waiting), [
    "oldest_waits: the oldest event of events/landing waits for 95 s: the server's log says what it is tried for",
  ])
  assert.deepEqual(said({ group: { waiting: 1700 } }, waiting), [
    'oldest_waits: the oldest event of events/landing waits for 95 s: it catches up, 7 s to go',
  ])
  assert.deepEqual(said({ group: { waiting: 700 } }, { ...waiting, ledger: {} }), [
    'oldest_waits: the oldest event of events/landing waits for 95 s: nobody takes them: is a process with ' +
      'MILLRACE_ROLES=worker running?',
  ])
})

/** A status with groups that are paused, each by a person's reason, by an outage, or by both. */
function pausedLook(storeUp: boolean, ...pauses: (readonly [reason: string | null, outage: string | null])[]): Look {
  const groups = pauses.map((pause) => {
    return groupOf({ paused: pausedText(...pause), waiting: 12_400, oldestWaitingSeconds: 95 })
  })
  return { status: { store: { driver: 'postgres', up: storeUp }, topics: [{ ...lookAt().status.topics[0]!, groups }] } }
}

const unreachable = 'postgres is unreachable since 2026-11-21T09:10:05.000Z: connect ECONNREFUSED'
const storeIsDown = 'store_down: postgres does not answer: start it; events wait in the log, nothing is lost'

test('a group that holds still by itself', () => {
  assert.deepEqual(said({}, pausedLook(false, [null, unreachable])), [
    `paused: landing of events is paused: ${unreachable}: start it, nothing is lost`,
  ])
  assert.deepEqual(said({}, pausedLook(true, [null, 'postgres refuses since 2026-11-21T09:10:05.000Z: 42501'])), [
    'paused: landing of events is paused: postgres refuses since 2026-11-21T09:10:05.000Z: 42501: mend that, nothing is lost',
  ])
})

test('a group that a person has paused, whatever the reason says and whatever else is wrong', () => {
  const resume = 'millrace groups resume landing lets it go on, nothing is lost'
  for (const reason of ['the table is being moved', 'since 2026-01-01T, see the wiki']) {
    assert.deepEqual(said({}, pausedLook(true, [reason, null])), [
      `paused: landing of events is paused by a person: ${reason}: ${resume}`,
    ])
  }
  assert.deepEqual(said({}, pausedLook(false, ['', unreachable])), [
    `paused: landing of events is paused by a person; ${unreachable}: ${resume}`,
    storeIsDown,
  ])
  const { status } = pausedLook(true, ['', null])
  const topics = status!.topics!.map((topic) => ({ ...topic, name: 'orders' }))
  assert.deepEqual(said({}, { status: { topics } }), [
    'paused: landing of orders is paused by a person: millrace groups resume landing --topic orders lets it go on, nothing is lost',
  ])
})

test('a database that does not answer is told of, until a group holds still because of it', () => {
  assert.deepEqual(said({}, { status: { store: { driver: 'postgres', up: false } } }), [storeIsDown])
  const [, ...others] = said({}, pausedLook(false, ['the table is being moved', null]))
  assert.deepEqual(others, [storeIsDown])
  assert.deepEqual(
    said({}, pausedLook(false, ['', null], [null, unreachable])).filter((line) => line === storeIsDown),
    [],
  )
})

test('dead letters that wait for a person', () => {
  const letters = (open: number, more = false) => ({ store: { deadLetters: { open, redriven: 7, more } } })
  assert.deepEqual(said({}, letters(1)), ['dead_letters: 1 dead letter: millrace dead-letters list'])
  assert.deepEqual(said({}, { ...letters(3), ledger: { dead: 20 } }), [
    'dead_letters: 3 dead letters, 2.0/s more: millrace dead-letters list',
  ])
  assert.deepEqual(said({}, letters(9990, true)), [
    'dead_letters: at least 9,990 dead letters: millrace dead-letters list',
  ])
  assert.deepEqual(said({}, { observations: { store: null } }), [])
})

test('a ledger that does not balance, and events that were lost', () => {
  assert.deepEqual(said({}, { ledger: { balanced: false } }), [
    'ledger_unbalanced: the ledger of events/landing does not balance: run millrace doctor',
  ])
  assert.deepEqual(said({}, { ledger: { balanced: null } }), [])
  assert.deepEqual(said({}, { ledger: { lost: 1200 } }), [
    "events_lost: 1,200 events of events/landing lost with damaged or removed entries of the log: the server's log says " +
      'which; producers that still have them can send them again',
  ])
})

test('a log that fills up, while there is time', () => {
  const log = (used: number, limit: number | null) => {
    return { log: { usedBytes: used * mebibyte, limitBytes: limit === null ? null : limit * mebibyte } }
  }
  assert.deepEqual(said({}, log(91, 100)), [
    'log_filling: Redis memory at 91 % of maxmemory: raise it, or keep less of what is settled (MILLRACE_RETENTION_BYTES); ' +
      'full, it refuses producers',
  ])
  assert.deepEqual(said({}, log(79, 100)), [])
  assert.deepEqual(said({}, log(5000, null)), [])
})

test('a log that cannot keep what it promised, and so takes nothing', () => {
  assert.deepEqual(said({}, { log: { problem: 'appendfsync is everysec: set it to always' } }), [
    'takes_nothing: no event is answered as accepted: appendfsync is everysec: set it to always. What is in the log goes on landing',
  ])
})

test('ids that are used twice for different things, and producers that are refused', () => {
  const landing = (conflicts: number) => {
    return {
      observations: {
        ...lookAt().observations,
        atSeconds: 20,
        landing: { ...lookAt().observations.landing!, conflicts },
      },
    }
  }
  assert.deepEqual(said({}, landing(1)), [
    'conflicts: 1 event came again with other content under the same id: the first one is kept; see which producer uses ids ' +
      'twice',
  ])
  const published = { ...lookAt().observations.published!, rejected: 400 }
  assert.deepEqual(said({}, { observations: { published } }), [
    'rejecting: 40/s rejected: millrace_events_rejected_total of /metrics says for what',
  ])
})

test('what others have written cannot steer the terminal', () => {
  const [line] = said({}, { group: { paused: pausedText('by \u001b[2Jme', null) } })
  assert.ok(line!.includes('\\u001b[2Jme') && !line!.includes('\u001b'))
})
