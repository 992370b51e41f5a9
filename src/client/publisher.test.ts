import assert from 'node:assert/strict'
import { test } from 'node:test'
import { status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { MillraceError } from '../errors.ts'
import { encodeBatch } from '../event/record-batch.ts'
import { connect } from './connect.ts'
import { IngestServer, type Reaction } from './ingest-server.test-support.ts'
import { Publisher } from './publisher.ts'
import { ServerConnection } from './server-connection.ts'

const idOf = (n: number) => `e${n}`

/** Adds events e<from> to e<to>, waiting when the publisher is full. */
async function addEvents(publisher: Publisher, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++)
    if (!publisher.add({ id: idOf(n), type: 'test.counted', data: { n } })) await publisher.ready()
}

const idsUpTo = (count: number) => Array.from({ length: count }, (_, index) => idOf(index + 1))

test('every event is accepted once and in order', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher()

  await addEvents(publisher, 1, 20_000)
  const totals = await publisher.close()
  client.close()

  assert.deepEqual(totals, {
    accepted: 20_000,
    dropped: 0,
    rejected: 0,
    unknown: 0,
    unsent: 0,
    rejections: [],
    durability: 'disk',
  })
  assert.deepEqual(server.keptIds, idsUpTo(20_000))
  assert.equal(server.callCount, 1)
})

test('an event without an id gets a UUIDv7, one without a time the current time; given values are kept', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ topic: 'orders' })
  const before = Date.now()

  publisher.add({ type: 'a', data: { text: 'ä' } })
  publisher.add({
    id: 'mine',
    type: 'b',
    timeMicros: 1_500_000,
    data: new Uint8Array([1, 2]),
    attributes: [['k', 'v']],
  })
  await publisher.close()
  client.close()

  const { request } = server.received[0]!
  const [made, given] = request.events
  assert.equal(request.topic, 'orders')
  assert.match(made!.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.ok(Number(made!.time!.seconds) * 1000 >= before - 1000 && Number(made!.time!.seconds) * 1000 <= Date.now())
  assert.equal(Buffer.from(made!.data).toString(), '{"text":"ä"}')
  assert.equal(given!.id, 'mine')
  assert.deepEqual([given!.time!.seconds, given!.time!.nanos], [1n, 500_000_000])
  assert.deepEqual([...given!.data], [1, 2])
  assert.deepEqual(given!.attributes, { k: 'v' })
})

test('a lone event does not wait for others, and events added in one turn share a message', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ lingerMs: 60_000 })

  publisher.add({ id: 'lone', type: 'test' })
  await publisher.ready()
  await received(server, 1)
  await publisher.flush()
  publisher.add({ id: 'first', type: 'test' })
  publisher.add({ id: 'second', type: 'test' })
  await received(server, 2)

  assert.deepEqual(
    server.received.map(({ eventIds }) => eventIds),
    [['lone'], ['first', 'second']],
  )
  await publisher.close()
  client.close()
})

test('while something is unacknowledged, events collect until the message is full', async (t) => {
  const server = await IngestServer.start(t)
  const released = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  server.decide = ({ sequence }) => {
    const hold = released[sequence - 1]
    return hold === undefined ? { kind: 'accept' } : { kind: 'hold', until: hold.promise }
  }
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ lingerMs: 60_000, maxMessageEvents: 4 })

  publisher.add({ id: idOf(1), type: 'test' })
  await received(server, 1)
  await addEvents(publisher, 2, 10)
  released[0]?.resolve()
  while (publisher.totals.accepted < 1) await turn()
  await addEvents(publisher, 11, 11)
  released[1]?.resolve()
  await publisher.close()
  client.close()

  assert.deepEqual(
    server.received.map(({ eventIds }) => eventIds.length),
    [1, 4, 4, 2],
  )
  assert.deepEqual(server.keptIds, idsUpTo(11))
})

test('while something is unacknowledged, an event waits for the linger time and no longer', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = ({ sequence }) => (sequence === 1 ? { kind: 'keep silent' } : { kind: 'accept' })
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ lingerMs: 20 })

  publisher.add({ id: idOf(1), type: 'test' })
  await received(server, 1)
  const since = performance.now()
  publisher.add({ id: idOf(2), type: 'test' })
  await received(server, 2)

  assert.ok(performance.now() - since >= 19)
  await publisher.close()
  client.close()
})

test('unacknowledged messages never exceed the window, and add() returns false when it is full', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = () => ({ kind: 'keep silent' })
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ maxMessageEvents: 1, maxUnackedMessages: 3, lingerMs: 0 })

  const answers = [1, 2, 3, 4, 5, 6].map((n) => publisher.add({ id: idOf(n), type: 'test' }))
  assert.deepEqual(answers, [true, true, false, false, false, false])
  assert.throws(() => publisher.add({ id: idOf(7), type: 'test' }), hasCode('backlogged'))
  await received(server, 3)
  let isReady = false
  const ready = publisher.ready().then(() => {
    isReady = true
  })
  await assert.rejects(
    publisher.close({ signal: AbortSignal.timeout(100) }),
    hasCode('cancelled', /3 events are unknown.*3 were never sent/),
  )

  assert.equal(server.received.length, 3)
  assert.equal(isReady, false)
  await assert.rejects(ready, hasCode('cancelled'))
  client.close()
})

test('ready() resolves as soon as an acknowledgement has made room', async (t) => {
  const server = await IngestServer.start(t)
  const released = Promise.withResolvers<void>()
  server.decide = () => ({ kind: 'hold', until: released.promise })
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ maxMessageEvents: 1, maxUnackedMessages: 1 })

  assert.equal(publisher.add({ type: 'test' }), false)
  await received(server, 1)
  const ready = publisher.ready()
  released.resolve()
  await ready

  assert.equal(publisher.totals.accepted, 1)
  await publisher.close()
  client.close()
})

test('after a cut the same messages are resent from the last acknowledgement on', async (t) => {
  const server = await IngestServer.start(t)
  let cuts = 0
  server.decide = ({ sequence }): Reaction => {
    if (sequence === 2 && cuts++ === 0) return { kind: 'accept then cut' }
    return { kind: 'accept' }
  }
  const client = connect({ addresses: [server.address] })
  const seen: string[] = []
  const publisher = client.publisher({ maxMessageEvents: 2, onCut: (error) => seen.push(error.code) })

  await addEvents(publisher, 1, 2)
  await publisher.flush()
  await addEvents(publisher, 3, 8)
  const totals = await publisher.close()
  client.close()

  assert.equal(totals.accepted, 8)
  assert.deepEqual(server.keptIds, idsUpTo(8))
  assert.deepEqual(seen, ['unavailable'])
  const [first, second] = server.received.filter(({ sequence }) => sequence === 2)
  assert.deepEqual(second!.request.events, first!.request.events)
  assert.equal(second!.producerId, publisher.producerId)
  assert.ok(!server.received.slice(2).some(({ sequence }) => sequence === 1), 'acknowledged messages are not resent')
})

test('after a restart of the server nothing is lost and nothing is stored twice', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ maxMessageEvents: 10 })

  await addEvents(publisher, 1, 500)
  await received(server, 10)
  await server.stop()
  const adding = addEvents(publisher, 501, 1000)
  await server.listen()
  await adding
  const totals = await publisher.close()
  client.close()

  assert.equal(totals.accepted, 1000)
  assert.deepEqual(server.keptIds, idsUpTo(1000))
})

test('without a server the publisher gives up in time and reports unknown and unsent events', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = () => ({ kind: 'keep silent' })
  const client = connect({ addresses: [server.address] })
  const cut = Promise.withResolvers<unknown>()
  const publisher = client.publisher({ maxMessageEvents: 5, giveUpAfterMs: 200, onCut: cut.resolve })

  await addEvents(publisher, 1, 5)
  await received(server, 1)
  await server.stop()
  await cut.promise
  const since = performance.now()
  await addEvents(publisher, 6, 8)

  await assert.rejects(
    publisher.flush(),
    hasCode('unavailable', /no server could be reached for 0\.2 s .*5 events are unknown .* 3 were never sent/),
  )
  assert.ok(performance.now() - since < 2000)
  const { unknown, unsent, accepted } = publisher.totals
  assert.deepEqual({ unknown, unsent, accepted }, { unknown: 5, unsent: 3, accepted: 0 })
  assert.throws(() => publisher.add({ type: 'test' }), hasCode('unavailable'))
  await assert.rejects(publisher.ready(), hasCode('unavailable'))
  await assert.rejects(publisher.close(), hasCode('unavailable'))
  client.close()
})

test('the publisher also gives up on a server that cuts every call', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = () => ({ kind: 'cut' })
  const connection = new ServerConnection({ addresses: () => [server.address], connectTimeoutMs: 1000 })
  const clocks = { now: Date.now, monotonicNow: () => performance.now(), random: () => 0.01 }
  const publisher = new Publisher(connection, { giveUpAfterMs: 600 }, clocks)

  publisher.add({ type: 'test' })

  await assert.rejects(publisher.close(), hasCode('unavailable', /1 events are unknown/))
  assert.ok(server.callCount > 1)
  connection.close()
})

test('a refusal of the call itself is not retried', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = () => ({ kind: 'end', status: { code: status.NOT_FOUND, details: 'there is no topic "nope"' } })
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ topic: 'nope' })

  publisher.add({ type: 'test' })

  await assert.rejects(publisher.close(), hasCode('not_found', /there is no topic "nope"/))
  assert.equal(server.callCount, 1)
  client.close()
})

test('rejections are reported with reason and retry hint, and are not resent', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = ({ sequence, eventIds }) => ({
    kind: 'answer',
    response: {
      rejections: [
        {
          sequence: BigInt(sequence),
          index: 1n,
          id: eventIds[1]!,
          code: 'backlogged',
          message: 'too many events wait',
          retryAfter: { seconds: 1n, nanos: 500_000_000 },
        },
      ],
      dropped: 1n,
    },
  })
  const client = connect({ addresses: [server.address] })
  const reported: string[] = []
  const publisher = client.publisher({ onRejections: (rejections) => reported.push(...rejections.map(({ id }) => id)) })

  await addEvents(publisher, 1, 4)
  const totals = await publisher.close()
  client.close()

  assert.deepEqual(reported, ['e2'])
  assert.deepEqual(totals.rejections, [
    { sequence: 1, index: 1, id: 'e2', code: 'backlogged', message: 'too many events wait', retryAfterMs: 1500 },
  ])
  assert.deepEqual([totals.accepted, totals.dropped, totals.rejected], [2, 1, 1])
  assert.equal(server.received.length, 1)
})

test('a server that acknowledges nothing for too long counts as lost', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = () => ({ kind: server.callCount === 1 ? 'keep silent' : 'accept' })
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ stallAfterMs: 500 })

  await addEvents(publisher, 1, 3)
  const totals = await publisher.close()
  client.close()

  assert.equal(totals.accepted, 3)
  assert.deepEqual(server.keptIds, idsUpTo(3))
  assert.equal(server.callCount, 2)
})

test('with overflow wait the server has no time limit', async (t) => {
  const server = await IngestServer.start(t)
  const released = Promise.withResolvers<void>()
  server.decide = () => ({ kind: 'hold', until: released.promise })
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher({ overflow: 'wait', stallAfterMs: 10, giveUpAfterMs: 1000 })

  publisher.add({ id: idOf(1), type: 'test' })
  await received(server, 1)
  setTimeout(released.resolve, 1500)
  const totals = await publisher.close()
  client.close()

  assert.equal(totals.accepted, 1)
  assert.equal(server.callCount, 1)
})

test('addresses are tried in turn, and after a lost server the next one is used', async (t) => {
  const [first, second] = [await IngestServer.start(t), await IngestServer.start(t)]
  const client = connect({ addresses: ['127.0.0.1:1', first.address, second.address] })
  const publisher = client.publisher()

  publisher.add({ id: 'one', type: 'test' })
  await publisher.flush()
  await first.stop()
  publisher.add({ id: 'two', type: 'test' })
  await publisher.close()
  client.close()

  assert.deepEqual(first.keptIds, ['one'])
  assert.deepEqual(second.keptIds, ['two'])
})

test('encoded record batches are sent unchanged, in order with single events', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher()

  publisher.add({ id: idOf(1), type: 'test' })
  publisher.addBatch(
    encodeBatch([
      { id: idOf(2), type: 'test' },
      { id: idOf(3), type: 'test' },
    ]),
    2,
  )
  publisher.add({ id: idOf(4), type: 'test' })
  const totals = await publisher.close()
  client.close()

  assert.equal(totals.accepted, 4)
  assert.deepEqual(server.keptIds, idsUpTo(4))
  assert.throws(() => publisher.addBatch(new Uint8Array(1), 1), hasCode('failed_precondition'))
})

test('an event or batch too large for any message is refused locally, and the next event is accepted', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher()

  assert.throws(() => publisher.add({ type: 'test', data: Buffer.alloc(1024 * 1024) }), hasCode('event_too_large'))
  assert.throws(() => publisher.add({ type: 'test', data: () => {} }), hasCode('invalid_event', /no JSON form/))
  assert.throws(() => publisher.addBatch(Buffer.alloc(4 * 1024 * 1024), 10), hasCode('message_too_large'))
  assert.throws(() => publisher.addBatch(Buffer.alloc(10), 0), hasCode('too_many_events'))
  publisher.add({ id: 'good', type: 'test' })
  await publisher.close()
  client.close()

  assert.deepEqual(server.keptIds, ['good'])
})

test('an option out of range is refused by name', () => {
  const client = connect()
  assert.throws(
    () => client.publisher({ maxUnackedMessages: 1001 }),
    hasCode('invalid_event', /maxUnackedMessages is 1001/),
  )
  client.close()
})

test('a publisher fails at once after its client was closed', async (t) => {
  const server = await IngestServer.start(t)
  const client = connect({ addresses: [server.address] })
  const publisher = client.publisher()
  client.close()

  publisher.add({ type: 'test' })

  await assert.rejects(publisher.close(), hasCode('failed_precondition', /the client is closed/))
})

const faults = fc.constantFrom<Reaction>(
  { kind: 'cut' },
  { kind: 'accept then cut' },
  { kind: 'keep silent' },
  { kind: 'end', status: null },
  { kind: 'end', status: { code: status.UNAVAILABLE, details: 'draining' } },
  { kind: 'end', status: { code: status.INTERNAL, details: 'broken' } },
)

test('whatever faults occur, every event is kept exactly once and in order', async (t) => {
  const server = await IngestServer.start(t)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 12 }), faults), { maxLength: 6 }),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 5 }),
      async (schedule, maxMessageEvents, maxUnackedMessages) => {
        const waiting = schedule.map(([after, reaction]) => ({ after, reaction }))
        server.keptIds.length = 0
        server.decide = () => {
          const next = waiting[0]
          if (next === undefined || next.after-- > 0) return { kind: 'accept' }
          waiting.shift()
          return next.reaction
        }
        const client = connect({ addresses: [server.address] })
        const publisher = client.publisher({ maxMessageEvents, maxUnackedMessages, stallAfterMs: 30 })

        await addEvents(publisher, 1, 60)
        const totals = await publisher.close()
        client.close()

        assert.equal(totals.accepted, 60)
        assert.deepEqual(server.keptIds, idsUpTo(60))
      },
    ),
    { numRuns: 25 },
  )
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Resolves when the server has received this many messages. */
async function received(server: IngestServer, count: number): Promise<void> {
  const untilMs = performance.now() + 20_000
  while (server.received.length < count) {
    assert.ok(performance.now() < untilMs, `the server received ${server.received.length} messages, not ${count}`)
    await turn()
  }
}

function hasCode(code: string, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof MillraceError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }
}
