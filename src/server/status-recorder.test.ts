import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LandingTotals, PublishedTotals } from '../pipeline/observations.ts'
import type { Status } from '../pipeline/pipeline.ts'
import { StatusRecorder, type Totals } from './status-recorder.ts'

const published = (accepted: number, rejected: number): PublishedTotals => ({
  ...{ received: accepted + rejected, accepted, rejected, dropped: 0 },
  acceptedByLane: { high: 0, normal: accepted, low: 0 },
})
const landing = (rows: number, batches: number): LandingTotals => ({
  ...{ rows, duplicates: 0, conflicts: 0, batches, seconds: 0 },
  durations: [
    { upToSeconds: 0.1, batches },
    { upToSeconds: null, batches: 0 },
  ],
})
const waitingOf = (...counts: number[]) =>
  ({ topics: [{ groups: counts.map((waiting) => ({ waiting })) }] }) as unknown as Status

/** A recorder whose seconds pass when the test says so. */
function startRecorder(t: Parameters<NonNullable<Parameters<typeof test>[0]>>[0], first: Totals) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const state = { nowMs: 5000, totals: first, reading: null as ReturnType<Reader>, reads: 0 }
  const recorder = new StatusRecorder({
    totals: () => state.totals,
    latest: () => state.reading,
    read: async () => void state.reads++,
    now: () => 1_800_000_000_000 + state.nowMs,
    monotonicNow: () => state.nowMs,
  })
  t.after(() => recorder.close())
  const pass = (ms: number, totals: Totals = state.totals) => {
    state.totals = totals
    state.nowMs += ms
    t.mock.timers.tick(1000)
  }
  return { recorder, state, pass }
}
type Reader = () => { readonly status: Status; readonly endedAtMs: number } | null

test('each second has what the totals grew by, and seconds that were missed are not known', (t) => {
  const { recorder, state, pass } = startRecorder(t, { published: published(10, 1), landing: landing(8, 2), dead: 0 })
  assert.deepEqual(recorder.history().seconds, [])

  pass(1000, { published: published(15, 1), landing: landing(12, 3), dead: 2 })
  state.reading = { status: waitingOf(3, 4), endedAtMs: state.nowMs }
  pass(3000, { published: published(40, 4), landing: landing(20, 9), dead: 2 })
  pass(1000, { published: published(41, 4), landing: landing(20, 9), dead: 2 })

  const { seconds, ...series } = recorder.history()
  assert.deepEqual(seconds, [1_800_000_006, 1_800_000_007, 1_800_000_008, 1_800_000_009, 1_800_000_010])
  assert.deepEqual(series, {
    accepted: [5, null, null, null, 1],
    rejected: [0, null, null, null, 0],
    landed: [4, null, null, null, 0],
    dead: [2, null, null, null, 0],
    waiting: [null, null, null, 7, null],
    landingP50Seconds: [0.05, null, null, null, null],
    landingP99Seconds: [0.099, null, null, null, null],
  })
})

test('a timer that is a little early or late misses no second', (t) => {
  const { recorder, pass } = startRecorder(t, { published: published(0, 0), landing: null, dead: 0 })

  pass(999.6, { published: published(3, 0), landing: null, dead: 0 })
  pass(1400, { published: published(5, 0), landing: null, dead: 0 })
  pass(600.4, { published: published(9, 0), landing: null, dead: 0 })

  assert.deepEqual(recorder.history().accepted, [3, 2, 4])
})

test('900 seconds are kept, and what is not the work of the process is not known', (t) => {
  const { recorder, pass } = startRecorder(t, { published: published(0, 0), landing: null, dead: 0 })

  for (let second = 1; second <= 1000; second++)
    pass(1000, { published: published(2 * second, 0), landing: null, dead: 0 })

  const { seconds, accepted, landed } = recorder.history()
  assert.deepEqual([seconds.length, seconds[0], seconds.at(-1)], [900, 1_800_000_106, 1_800_001_005])
  assert.deepEqual([new Set(accepted), new Set(landed)], [new Set([2]), new Set([null])])
})

test('the log is asked what waits only when nobody else has asked for 30 s', (t) => {
  const { state, pass } = startRecorder(t, { published: null, landing: null, dead: 0 })

  for (let second = 0; second < 20; second++) {
    state.reading = { status: waitingOf(1), endedAtMs: state.nowMs }
    pass(1000)
  }
  assert.equal(state.reads, 0)
  for (let second = 0; second < 120; second++) pass(1000)

  assert.equal(state.reads, 4)
})
