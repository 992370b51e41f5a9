import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { eventually, within } from '../../test/support/eventually.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { decodeBatch } from '../event/record-batch.ts'
import { inboxAttribute } from '../event/request.ts'
import type { Delivery } from '../event-log/event-log.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import type { Replies, ReplyListener } from '../event-log/replies.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { encodeReply } from './reply-encoding.ts'
import { Requester } from './requester.ts'

const topic = '_request.work'
const group = 'responders'

/** A requester on an embedded log, and a worker that answers when it is told to. */
async function start(t: TestContext, { announces = true } = {}) {
  const logger = createLogger({ level: 'fatal' })
  const now = Date.now
  const eventLog = await openEventLog({ dataDir: tempDirectory(t), diskReserveBytes: 0 }, { logger, now })
  t.after(() => eventLog.close())
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  const listeners: ReplyListener[] = []
  const replies: Replies = {
    get: (...call) => eventLog.replies.get(...call),
    listen: async (listened, inbox, listener) => {
      listeners.push(listener)
      return announces ? await eventLog.replies.listen(listened, inbox, listener) : () => {}
    },
  }
  const appended: WeakRef<Uint8Array>[] = []
  let lookups = Promise.resolve()
  /** Lets the log not tell whether there are workers until the result is called. */
  const heldLookups = () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    lookups = promise
    return resolve
  }
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const requester = new Requester({
    eventLog: {
      append: (stream, batches, options) => {
        appended.push(...batches.map(({ bytes }) => new WeakRef(bytes)))
        // The log keeps recent entries in memory: not the objects that are watched.
        const copies = batches.map((batch) => ({ ...batch, bytes: batch.bytes.slice() }))
        return eventLog.append(stream, copies, options)
      },
      hasConsumers: async (...call) => {
        await lookups
        return await eventLog.hasConsumers(...call)
      },
      replies,
      topics: () => eventLog.topics(),
    },
    ...{ metrics, logger, now, monotonicNow: () => performance.now(), replyTtlMs: 60_000 },
    maxWaiting: { maxEvents: 2, maxBytes: 1e9 },
  })
  const take = async () => {
    const maxEvents = { high: 0, normal: 10, low: 0 }
    return await consumer.next({ maxEvents, maxWaitMs: 5000 })
  }
  const answer = async (delivery: Delivery, text: string) => {
    const [event] = decodeBatch(delivery.batch.bytes)
    const bytes = encodeReply({ data: Buffer.from(text), dataContentType: 'text/plain', attempts: 1 })
    const reply = { id: `:${event!.id}`, bytes, ttlMs: 60_000, inbox: event!.attributes.get(inboxAttribute)! }
    await consumer.settle([{ delivery, landed: 1, dead: 0, reply }])
  }
  const ask = (requestId: string, waitMs: number | null = null, signal?: AbortSignal) =>
    requester.request(
      {
        ...{ type: 'work', requestId, data: Buffer.from('1'), dataContentType: '', attributes: {} },
        ...{ deadlineMs: waitMs === null ? 20_000 : null, waitMs },
      },
      { signal },
    )
  const missed = () => {
    for (const listener of listeners) listener.onMissed()
  }
  return { requester, take, answer, ask, missed, heldLookups, eventLog, consumer, appended }
}

const textOf = async (answered: ReturnType<Requester['request']>) => {
  const { reply } = await within(8000, 'the reply', answered)
  return reply === null ? null : Buffer.from(reply.data).toString()
}

test('a reply whose announcement was missed is read when the log says so', async (t) => {
  const { take, answer, ask, missed, eventLog } = await start(t, { announces: false })
  const asked = ask('a')
  const [delivery] = await take()
  await answer(delivery!, 'read')
  assert.equal((await eventLog.replies.get(topic, group, ':a'))?.stage, 'replied')
  missed()
  assert.equal(await textOf(asked), 'read')
})

test('a wait ends with the stage, and a later call gets the reply', async (t) => {
  const { requester, take, answer, ask } = await start(t)
  assert.deepEqual(await ask('a', 0), { requestId: 'a', stage: 'accepted', reply: null })
  const [delivery] = await take()
  const get = (waitMs: number) => requester.getReply({ requestId: 'a', type: '', waitMs })
  assert.equal((await get(0)).stage, 'started')
  const asked = [get(20_000), ask('a')]
  await answer(delivery!, 'both')
  assert.deepEqual(await Promise.all(asked.map(textOf)), ['both', 'both'])
})

test('what waits for the workers is limited, and a refused request is not known', async (t) => {
  const { requester, ask, eventLog } = await start(t)
  await ask('a', 0)
  await ask('b', 0)
  await assert.rejects(ask('c', 0), { code: 'backlogged' })
  await assert.rejects(requester.getReply({ requestId: 'c', type: 'work', waitMs: 0 }), { code: 'not_found' })
  assert.equal((await eventLog.describe()).topics[0]?.groups[0]?.waiting, 2)
})

test('a request that waits keeps none of its bytes', async (t) => {
  const { requester, take, answer, ask, appended } = await start(t)
  const fields = { type: 'work', requestId: 'a', dataContentType: 'text/plain', attributes: {} }
  const message = { ...fields, data: Buffer.alloc(100_000), deadlineMs: 20_000, waitMs: null }
  const asked = requester.request(message)
  const [delivery] = await take()
  // The scanner keeps the last one.
  await ask('b', 0)
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  await eventually(() => {
    collectGarbage()
    assert.deepEqual([message.data.length, appended[0]?.deref()?.length], [0, undefined])
  })
  await answer(delivery!, 'done')
  assert.equal(await textOf(asked), 'done')
})

test('a drain refuses new requests, lets a reply come, and ends the waits that have none', async (t) => {
  const { requester, take, answer, ask } = await start(t)
  const [first, second] = [ask('a'), ask('b')]
  const refused = assert.rejects(second, { code: 'unavailable', message: /ask for its reply at another server/ })
  const deliveries: Delivery[] = []
  await eventually(async () => {
    deliveries.push(...(await take()))
    assert.equal(deliveries.length, 2)
  })
  const drained = requester.drain(4000)
  await assert.rejects(ask('c'), { code: 'draining' })
  await answer(deliveries.find(({ position }) => position.offset === 0)!, 'in time')
  assert.equal(await textOf(first), 'in time')
  await refused
  await drained
})

test('requests that follow each other closely notice that the workers have gone', async (t) => {
  const { ask, consumer } = await start(t)
  await ask('a', 0)
  await consumer.close()
  await eventually(() => assert.rejects(ask('a', 0), { code: 'unavailable', message: /no worker serves/ }), {
    withinMs: 2000,
  })
})

test('a request that a drain overtakes waits no more', async (t) => {
  const { requester, ask, heldLookups } = await start(t)
  const open = heldLookups()
  const refused = assert.rejects(ask('a'), { code: 'unavailable', message: /ask for its reply at another server/ })
  await requester.drain(4000)
  open()
  await within(4000, 'its end', refused)
})

test('a request whose caller goes before it is stored waits no more', async (t) => {
  const { ask, heldLookups } = await start(t)
  const gone = new AbortController()
  const open = heldLookups()
  const ended = assert.rejects(ask('a', null, gone.signal), { name: 'AbortError' })
  gone.abort()
  open()
  await within(4000, 'its end', ended)
})
