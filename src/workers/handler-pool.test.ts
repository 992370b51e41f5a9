import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { eventually, within } from '../../test/support/eventually.ts'
import { retry } from './define-handler.ts'
import { poolOf } from './handler-pool.test-support.ts'

test('a stop lets what has begun finish, and returns the rest without a lost attempt', async (t) => {
  const begun: [string, number][] = []
  const gate = Promise.withResolvers<void>()
  const { start, publish, waiting } = await poolOf(t, {
    handle: async ({ id }, { attempt }) => {
      begun.push([id, attempt])
      await gate.promise
    },
  })
  const first = await start()
  await publish('a', 'b', 'c', 'd')
  await publish('e')
  await eventually(() => assert.equal(begun.length, 2))
  const closed = first.close(5000)
  gate.resolve()
  await within(2000, 'the stop', closed)
  assert.equal(begun.length, 2)

  const second = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await second.close(1000)
  assert.deepEqual(
    begun.toSorted(),
    ['a', 'b', 'c', 'd', 'e'].map((id) => [id, 1]),
  )
})

test('at the end of the drain time the signal says so; what ends well then is done, the rest keeps its attempt', async (t) => {
  const seen: unknown[] = []
  const { start, publish, waiting } = await poolOf(t, {
    handle: ({ id }, { attempt, signal }) => {
      seen.push(`${id} ${attempt}`)
      if (seen.length > 2) return undefined
      return new Promise((resolve, reject) =>
        signal.addEventListener('abort', () => {
          seen.push(signal.reason)
          if (id === 'ends well') resolve(undefined)
          else reject(new Error('it was interrupted'))
        }),
      )
    },
  })
  const first = await start()
  await publish('ends well', 'fails')
  await eventually(() => assert.equal(seen.length, 2))
  await within(2000, 'the stop', first.close(600))
  assert.equal(await waiting(), 1)

  const second = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await second.close(1000)
  assert.deepEqual(seen, ['ends well 1', 'fails 1', 'shutdown', 'shutdown', 'fails 1'])
})

test('whatever a handler returns or throws ends its event only, with a message', async (t) => {
  const ends: Readonly<Record<string, () => unknown>> = {
    null: () => null,
    number: () => 7,
    'after NaN': () => retry({ afterMs: Number.NaN }),
    'after for ever': () => retry({ afterMs: Number.POSITIVE_INFINITY }),
    'after text': () => retry({ afterMs: '5' as never }),
    'no text': () => {
      throw Object.create(null)
    },
    'throws null': () => {
      throw null
    },
    done: () => undefined,
  }
  const { start, publish, waiting, deadLetters } = await poolOf(t, {
    retry: { maxAttempts: 1 },
    handle: ({ id }) => ends[id]!() as never,
  })
  const pool = await start()
  for (const id of Object.keys(ends)) await publish(id)
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  const messages = (await deadLetters()).map(({ attributes }) => attributes.get('message'))
  assert.deepEqual(messages.toSorted(), [
    'a value that has no text',
    'null',
    'retry({ afterMs }) takes 0 to 86400000 ms; it was 5',
    'retry({ afterMs }) takes 0 to 86400000 ms; it was Infinity',
    'retry({ afterMs }) takes 0 to 86400000 ms; it was NaN',
    'the handler returned a number; it must return nothing, retry() or dead(reason)',
    'the handler returned null; it must return nothing, retry() or dead(reason)',
  ])
})

test('an attempt that ignores its signal keeps its place, is shown, and is not tried again beside itself', async (t) => {
  let [atWork, most] = [0, 0]
  const gate = Promise.withResolvers<void>()
  const done: string[] = []
  const { start, publish, waiting } = await poolOf(t, {
    timeoutMs: 10,
    retry: { initialDelayMs: 1 },
    handle: async ({ id }, { attempt }) => {
      if (id !== 'hangs' || attempt > 1) {
        done.push(id)
        return
      }
      most = Math.max(most, ++atWork)
      await gate.promise
      atWork--
    },
  })
  const pool = await start()
  await publish('hangs')
  await eventually(() => assert.match(pool.state.reason ?? '', /^1 of 2 places are held by attempts/))
  for (let number = 0; number < 20; number++) await publish(`e${number}`)
  await eventually(() => assert.equal(done.length, 20))
  assert.equal(most, 1)
  gate.resolve()
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.deepEqual([done.at(-1), pool.state.reason], ['hangs', null])
  await pool.close(1000)
})

test('events of other types are not cut, not begun, and not given up', async (t) => {
  const handled: string[] = []
  const { start, publish, waiting, settles } = await poolOf(t, {
    type: 'mine',
    handle: ({ id }) => void handled.push(id),
  })
  await publish(...Array.from({ length: 500 }, (_, number) => `other ${number}`))
  await publish('other', 'mine 1', 'other too', 'mine 2')
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(handled, ['mine 1', 'mine 2'])
  assert.ok(settles() <= 3, `${settles()} settlements`)
})

test('while dead letters cannot be stored nothing more is taken, and what is done is settled', async (t) => {
  const begun: string[] = []
  const { start, publish, waiting, failDeadLetters } = await poolOf(t, {
    retry: { maxAttempts: 1 },
    handle: ({ id }) => {
      begun.push(id)
      if (id === 'bad') throw new Error('no')
    },
  })
  const pool = await start()
  failDeadLetters(true)
  await publish('bad')
  await eventually(() => assert.equal(pool.state.is, 'outage'))
  for (let number = 0; number < 50; number++) await publish(`e${number}`)
  assert.match(pool.problem?.message ?? '', /^mailer of events: dead letters cannot be stored: /)
  assert.ok(begun.length < 5, `${begun.length} have begun`)
  failDeadLetters(false)
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.equal(pool.state.is, 'running')
  await pool.close(1000)
})

test('when the group is deleted while all places are taken, the pool joins again and holds nothing back', async (t) => {
  const gate = Promise.withResolvers<void>()
  const done: string[] = []
  const { start, publish, waiting, deleteGroup, deliveryTimes } = await poolOf(t, {
    handle: async ({ id }) => {
      if (id.startsWith('slow')) await gate.promise
      done.push(id)
    },
  })
  const pool = await start()
  await publish('slow 1')
  await publish('slow 2')
  await eventually(async () => assert.equal(await waiting(), 2))
  await deleteGroup()
  gate.resolve()
  await eventually(() => assert.ok(done.includes('slow 2')))
  for (let number = 0; number < 10; number++) await publish(`e${number}`)
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.ok(done.includes('e9'))
  const settled = deliveryTimes.of({ source: '/', id: 'slow 2' }).map(({ settledAtMs }) => settledAtMs !== null)
  assert.deepEqual(settled, [false, true], 'the first outcome was not recorded')
})

test('when the group is deleted, the signals of its events say so', async (t) => {
  const seen: unknown[] = []
  const { start, publish, waiting, deleteGroup } = await poolOf(t, {
    handle: async (_, { signal }) => {
      if (seen.push('begun') > 1) return
      await once(signal, 'abort')
      seen.push(signal.reason)
    },
  })
  const pool = await start()
  await publish('a')
  await eventually(() => assert.deepEqual(seen, ['begun']))
  await deleteGroup()
  await eventually(() => assert.deepEqual(seen.toSorted(), ['begun', 'begun', 'cancelled']))
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
})

test('a pool with nothing to do has read all lanes at once, and waits', async (t) => {
  const { start, publish, waiting, reads } = await poolOf(t, { concurrency: 16, handle: () => {} })
  const pool = await start()
  for (let number = 0; number < 10; number++) {
    await publish(`e${number}`)
    await eventually(async () => assert.equal(await waiting(), 0))
  }
  assert.ok(reads() <= 30, `${reads()} reads for 10 events`)
  await pool.close(1000)
})

test('an event of an entry that was cut keeps its position in the log', async (t) => {
  const { start, publish, waiting, deadLetters } = await poolOf(t, {
    retry: { maxAttempts: 2, initialDelayMs: 1 },
    handle: ({ type }) => {
      if (type === 'bad') throw new Error('no')
    },
  })
  await publish('a', 'b', 'c', 'd', 'bad', 'f')
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  const [letter] = await deadLetters()
  assert.match(letter!.attributes.get('position') ?? '', /:4$/)
})

test('a copy of the context has all its parts', async (t) => {
  const copies: object[] = []
  const { start, publish, waiting } = await poolOf(t, { handle: (_, context) => void copies.push({ ...context }) })
  await publish('a')
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(Object.keys(copies[0]!).toSorted(), [
    'attempt',
    'file',
    'logger',
    'progress',
    'publish',
    'signal',
    'trace',
  ])
})
