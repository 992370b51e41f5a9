import assert from 'node:assert/strict'
import { connect } from 'node:http2'
import { test } from 'node:test'
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js'
import fc from 'fast-check'
import { MillraceError } from '../../errors.ts'
import { Durability, Overflow, type ProduceResponse } from '../../gen/millrace/v1/ingest_pb.ts'
import { eventually, settled } from '../eventually.test-support.ts'
import { grpcStatus } from '../status.ts'
import { detailsOf, produceMessage, startTestServer } from './grpc-client.test-support.ts'

const good = { type: 'order.created', data: Buffer.from('{"total":1}') }
const bad = { type: '' }

/** Collects the answers of a call. */
function listen(call: ClientDuplexStream<Buffer, ProduceResponse>) {
  const answers: ProduceResponse[] = []
  const ended = Promise.withResolvers<ServiceError | null>()
  call.on('data', (answer: ProduceResponse) => answers.push(answer))
  call.on('end', () => ended.resolve(null))
  call.on('error', (error: ServiceError) => ended.resolve(error))
  const ackedThrough = () => Number(answers.at(-1)?.ackedThrough ?? 0n)
  return { call, answers, ended: ended.promise, ackedThrough }
}

const message = (sequence: number, more: object = {}) =>
  produceMessage({ producerId: 'producer-1', producerEpoch: 1n, sequence: BigInt(sequence), events: [good], ...more })

test('numbered messages are acknowledged cumulatively while they arrive', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const stream = listen(client.produce())

  stream.call.write(message(5))
  await eventually(() => stream.ackedThrough() === 5)
  for (let sequence = 6; sequence <= 200; sequence++) stream.call.write(message(sequence, { producerId: '' }))
  await eventually(() => stream.ackedThrough() === 200)
  stream.call.end()

  assert.equal(await stream.ended, null)
  assert.equal(pipeline.events.length, 196)
  assert.deepEqual(pipeline.calls.at(-1)?.message.producer, { id: 'producer-1', epoch: 1, sequence: 200 })
  assert.equal(stream.answers.at(-1)?.durability, Durability.DISK)
})

test('messages that are answered together get one acknowledgement', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.hold()
  const stream = listen(client.produce())

  for (let sequence = 1; sequence <= 500; sequence++) stream.call.write(message(sequence))
  await eventually(() => pipeline.calls.length === 500)
  pipeline.release()
  await eventually(() => stream.ackedThrough() === 500)

  assert.ok(stream.answers.length <= 3, `${stream.answers.length} answers`)
  stream.call.end()
  await stream.ended
})

test('no acknowledgement covers a message that is still undecided', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const stream = listen(client.produce())

  stream.call.write(message(1, { overflow: Overflow.WAIT }))
  stream.call.write(message(2, { overflow: Overflow.DROP }))
  stream.call.write(message(3, { events: [bad] }))
  await eventually(() => pipeline.calls.length === 3)
  assert.equal(stream.answers.length, 0)
  pipeline.makeRoom(10)
  await eventually(() => stream.ackedThrough() === 3)

  const rejections = stream.answers.flatMap((answer) => answer.rejections)
  assert.deepEqual(
    rejections.map(({ sequence, index, code }) => [sequence, index, code]),
    [[3n, 0n, 'invalid_event']],
  )
  assert.equal(
    stream.answers.reduce((sum, { dropped }) => sum + Number(dropped), 0),
    1,
  )
  stream.call.end()
  await stream.ended
})

const misnumbered = [
  ['no producer', [message(1, { producerId: '' })], 'producer_id'],
  ['a producer of 256 bytes', [message(1, { producerId: 'p'.repeat(256) })], 'producer_id'],
  ['a producer with a NUL', [message(1, { producerId: 'p\0' })], 'producer_id'],
  ['another producer', [message(1), message(2, { producerId: 'other' })], 'producer_id'],
  ['no epoch', [message(1, { producerEpoch: 0n })], 'producer_epoch'],
  ['another epoch', [message(1), message(2, { producerEpoch: 2n })], 'producer_epoch'],
  ['an epoch above 2^53', [message(1, { producerEpoch: 2n ** 53n })], 'producer_epoch'],
  ['no sequence', [message(0)], 'sequence'],
  ['a sequence above 2^53', [message(2 ** 53 + 2)], 'sequence'],
  ['a gap', [message(7), message(9)], 'sequence'],
  ['a repetition', [message(7), message(7)], 'sequence'],
] as const

for (const [what, messages, field] of misnumbered) {
  test(`${what} ends the call with INVALID_ARGUMENT naming ${field}, after earlier messages are acknowledged`, async (t) => {
    const { client, pipeline } = await startTestServer(t)
    const stream = listen(client.produce())

    for (const bytes of messages) stream.call.write(bytes)
    const error = await stream.ended

    assert.equal(error?.code, grpcStatus.INVALID_ARGUMENT)
    const [violation] = detailsOf(error).badRequest?.fieldViolations ?? []
    assert.equal(violation?.field, field)
    assert.match(violation?.description ?? '', new RegExp(`^${field} `))
    assert.equal(pipeline.events.length, messages.length - 1)
    assert.equal(stream.answers.length, messages.length - 1)
  })
}

test('a message that is refused as a whole ends the call, after earlier messages are acknowledged', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.hold()
  const stream = listen(client.produce())

  stream.call.write(message(1))
  stream.call.write(message(2, { topic: 'nowhere' }))
  stream.call.write(message(3))
  await eventually(() => pipeline.calls.length === 3)
  pipeline.release()
  const error = await stream.ended

  assert.equal(error?.code, grpcStatus.NOT_FOUND)
  assert.equal(stream.ackedThrough(), 1)
})

test('an unknown outcome ends the call with its status and is not acknowledged', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const stream = listen(client.produce())

  stream.call.write(message(1))
  await eventually(() => stream.ackedThrough() === 1)
  pipeline.failure = new MillraceError('unavailable', 'the log is unreachable')
  stream.call.write(message(2))
  const error = await stream.ended

  assert.equal(error?.code, grpcStatus.UNAVAILABLE)
  assert.equal(stream.ackedThrough(), 1)
})

test('dropped events are reported once', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const stream = listen(client.produce())

  for (const [at, events] of [[good, good], [good]].entries()) {
    stream.call.write(message(at + 1, { events, overflow: Overflow.DROP }))
    await eventually(() => stream.ackedThrough() === at + 1)
  }

  assert.deepEqual(
    stream.answers.map(({ dropped }) => dropped),
    [2n, 1n],
  )
  stream.call.end()
  await stream.ended
})

test('many rejections are sent in several answers, the acknowledgement with the last', async (t) => {
  const { client } = await startTestServer(t)
  const stream = listen(client.produce())

  stream.call.write(message(1, { events: Array.from({ length: 3500 }, () => bad) }))
  await eventually(() => stream.ackedThrough() === 1)

  assert.deepEqual(
    stream.answers.map(({ ackedThrough, rejections }) => [ackedThrough, rejections.length]),
    [
      [0n, 1000],
      [0n, 1000],
      [0n, 1000],
      [1n, 500],
    ],
  )
  stream.call.end()
  await stream.ended
})

test('the server does not read from a producer that does not read its answers', async (t) => {
  const { address, pipeline } = await startTestServer(t)
  // A raw client, because a stock one reads on whatever its caller does.
  const session = connect(`http://${address}`)
  t.after(() => session.destroy())
  const stream = session.request({
    ':method': 'POST',
    ':path': '/millrace.v1.IngestService/Produce',
    'content-type': 'application/grpc',
  })
  stream.on('error', () => {})
  const events = produceMessage({ events: Array.from({ length: 5000 }, () => bad) })
  for (let sequence = 1; sequence <= 100; sequence++) {
    const bytes = Buffer.concat([events, message(sequence, { events: [] })])
    const head = Buffer.alloc(5)
    head.writeUInt32BE(bytes.length, 1)
    stream.write(Buffer.concat([head, bytes]))
  }

  await eventually(() => pipeline.calls.length > 0)
  const received = await settled(() => pipeline.calls.length)
  assert.ok(received < 20, `${received} messages were read`)

  stream.resume()
  await eventually(() => pipeline.calls.length === 100)
})

test('a stopping server acknowledges what it has read, then ends the call with UNAVAILABLE draining', async (t) => {
  const { client, pipeline, drain } = await startTestServer(t)
  const busy = listen(client.produce())
  const idle = listen(client.produce())
  idle.call.write(message(1))
  await eventually(() => idle.ackedThrough() === 1)
  pipeline.hold()
  busy.call.write(message(1))
  await eventually(() => pipeline.calls.length === 2)

  const startedAt = performance.now()
  const drained = drain(10_000)
  assert.equal((await idle.ended)?.code, grpcStatus.UNAVAILABLE)
  pipeline.release()
  const error = await busy.ended

  assert.equal(error?.code, grpcStatus.UNAVAILABLE)
  assert.equal(detailsOf(error).errorInfo?.reason, 'DRAINING')
  assert.equal(busy.ackedThrough(), 1)
  client.close()
  await drained
  assert.ok(performance.now() - startedAt < 5000)
})

test('for any messages and room: every acknowledged event is accepted, dropped or rejected', async (t) => {
  const { client, pipeline } = await startTestServer(t)
  const kinds = fc.array(fc.record({ goods: fc.nat(4), bads: fc.nat(3), wait: fc.boolean() }), { maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(kinds, fc.nat(40), async (messages, room) => {
      pipeline.events.length = 0
      pipeline.makeRoom(room)
      const stream = listen(client.produce())
      let events = 0
      for (const [at, { goods, bads }] of messages.entries()) {
        events += goods + bads
        stream.call.write(message(at + 1, { events: [...Array(goods).fill(good), ...Array(bads).fill(bad)] }))
      }
      await eventually(() => stream.ackedThrough() === messages.length)
      stream.call.end()
      assert.equal(await stream.ended, null)
      const rejected = stream.answers.reduce((sum, { rejections }) => sum + rejections.length, 0)
      assert.equal(pipeline.events.length + rejected, events)
    }),
    { numRuns: 25 },
  )
})
