import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { dead, defineHandler, type HandlerOptions, isHandlerDefinition, retry } from './define-handler.ts'

const handle = () => undefined

test('a handler has defaults, and is told from other values', () => {
  const handler = defineHandler({ group: 'mailer', handle })
  assert.deepEqual(handler, {
    isMillraceHandler: true,
    request: null,
    topic: 'events',
    group: 'mailer',
    types: [],
    concurrency: null,
    timeoutMs: 30_000,
    isolate: false,
    module: null,
    maxAttempts: null,
    initialDelayMs: 1000,
    maxDelayMs: 60_000,
    ordered: false,
    onExhausted: 'dead-letter',
    limits: {},
    batch: null,
    handle,
  })
  const batch = defineHandler({
    group: 'a',
    batch: { maxEvents: 5 },
    handle: (events) => events.slice(0, 0) as [],
  }).batch
  assert.deepEqual(batch, { maxEvents: 5, maxWaitMs: 100 })
  assert.deepEqual(defineHandler({ group: 'a', type: 'order.*', handle }).types, ['order.*'])
  assert.deepEqual([handler, {}, null, 7, handle].map(isHandlerDefinition), [true, false, false, false, false])
  assert.deepEqual(
    [retry(), retry({ afterMs: 5 }), dead('no')],
    [
      { ended: 'retry', afterMs: null },
      { ended: 'retry', afterMs: 5 },
      { ended: 'dead', reason: 'no' },
    ],
  )
})

test('a wrong option is refused with its name and what it must be', () => {
  const wrong: [field: string, options: object, must: RegExp][] = [
    ['group', { group: undefined }, /must match/],
    ['group', { group: 'Mailer' }, /must match/],
    ['topic', { topic: '_dead' }, /is "_dead"; it must match/],
    ['types', { types: ['a.*b'] }, /beside other characters/],
    ['type', { type: 'a', types: ['b'] }, /both given/],
    ['types', { types: 'order.*' }, /must be a list of texts/],
    ['types', { types: [1] }, /must be a list of texts/],
    ['types', { types: [] }, /is empty: leave it out for all types/],
    ['types', { type: 5 }, /must be a list of texts/],
    ['topic', { topic: null }, /must match/],
    ['retry', { retry: 3 }, /must be an object/],
    ['concurrency', { concurrency: 0 }, /is 0; it must be a whole number from 1 to 10000/],
    ['groupConcurrency', { groupConcurrency: 0 }, /is 0; it must be a whole number from 1 to 100000/],
    ['ratePerSecond', { ratePerSecond: 1.5 }, /is 1.5; it must be a whole number from 1 to 100000/],
    [
      'batch.maxEvents',
      { batch: { maxEvents: 4 }, groupConcurrency: 3 },
      /is 4: with groupConcurrency 3 no such batch/,
    ],
    ['batch.maxEvents', { batch: { maxEvents: 4 }, ratePerSecond: 3 }, /is 4: with ratePerSecond 3 no such batch/],
    ['limitPerKey', { limitPerKey: 0 }, /is 0; it must be a whole number from 1 to 100000/],
    ['limitPerKey', { limitPerKey: 1, ordered: true }, /and ordered are both given/],
    ['isolate', { isolate: 'yes' }, /must be true or false/],
    ['timeoutMs', { timeoutMs: Number.POSITIVE_INFINITY }, /is Infinity/],
    ['retry.maxAttempts', { retry: { maxAttempts: 1.5 } }, /is 1.5/],
    ['retry.initialDelayMs', { retry: { initialDelayMs: 10, maxDelayMs: 5 } }, /larger than retry.maxDelayMs/],
    ['retry.delay', { retry: { delay: 1 } }, /not an option/],
    ['batch', { batch: 10 }, /must be an object with maxEvents, maxWaitMs/],
    ['batch.maxEvents', { batch: {} }, /is undefined; it must be a whole number from 1 to 1000/],
    ['batch.maxWaitMs', { batch: { maxEvents: 1, maxWaitMs: -1 } }, /is -1/],
    ['batch.size', { batch: { maxEvents: 1, size: 1 } }, /not an option/],
    ['retry.maxAttempts', { batch: { maxEvents: 2 }, retry: { maxAttempts: 1 } }, /at least 2 with batch/],
    ['ordered', { ordered: 'yes' }, /must be true or false/],
    ['onExhausted', { onExhausted: 'drop' }, /must be dead-letter or hold/],
    ['unknown', { unknown: true }, /is not an option of this version/],
    ['handle', { handle: 'f' }, /is missing/],
  ]
  for (const [field, options, must] of wrong) {
    assert.throws(
      () => defineHandler({ group: 'mailer', handle, ...options } as HandlerOptions),
      (error) => error instanceof MillraceError && error.field === field && must.test(error.message),
      field,
    )
  }
})
