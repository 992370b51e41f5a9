// A publish call that ends early says what it took: each way to end at each place where a call can end. Every call has a
// topic of its own, so that the ledger tells what was really taken. Nothing lands (MILLRACE_ROLES=ingest).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServiceError, StatusObject } from '@grpc/grpc-js'
import { errorOfCall } from '../../src/client/grpc-errors.ts'
import type { ErrorCode, MillraceError } from '../../src/errors.ts'
import { Priority } from '../../src/gen/millrace/v1/event_pb.ts'
import { Overflow } from '../../src/gen/millrace/v1/ingest_pb.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { encodePublish, grpcClient } from '../support/grpc-client.ts'
import { metricsOf } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { type RawConnection, rawConnection } from '../support/raw-http2.ts'

/** How many events each call has sent before its end. */
const places = { 'as the first': 0, 'behind an answered message': 3, 'behind a message in flight': 3 } as const
type Place = keyof typeof places
const allPlaces = Object.keys(places) as Place[]

/** The messages that end a stream. */
const endings: Readonly<Record<string, { readonly bytes: Buffer; readonly code: ErrorCode }>> = {
  'a torn message': { bytes: Buffer.of(0x0a, 0x7f, 1), code: 'invalid_event' },
  'a bad topic': { bytes: encodePublish({ topic: 'No Topic', events: orders(1) }), code: 'invalid_event' },
  'a bad overflow': { bytes: encodePublish({ overflow: 9 as Overflow, events: orders(1) }), code: 'invalid_event' },
  'a message of 5 MiB': { bytes: Buffer.alloc(5 * 1024 * 1024), code: 'message_too_large' },
}

const head = (topic: string, fields: string) =>
  `POST /v1/events?topic=${topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n${fields}\r\n\r\n`
const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
const torn = '{"type":"torn'

/** What follows the head of an NDJSON request with these lines; the client ends its side behind `half`. */
const bodies = {
  'a half-close in a chunked body': {
    fields: () => 'Transfer-Encoding: chunked',
    rest: () => chunked(torn),
    half: true,
  },
  'a half-close before the content-length': { fields: () => 'Content-Length: 5000', rest: () => torn, half: true },
  'a bad chunk': { fields: () => 'Transfer-Encoding: chunked', rest: () => 'zz\r\n', half: false },
  'a bad chunk behind half a line': {
    fields: () => 'Transfer-Encoding: chunked',
    rest: () => `${chunked(torn)}zz\r\n`,
    half: false,
  },
  'a content-length that ends in a line': {
    fields: (lines: string) => `Content-Length: ${lines.length + 5}`,
    rest: () => torn,
    half: false,
  },
} as const
type Body = keyof typeof bodies
const allBodies = Object.keys(bodies) as Body[]

/** Calls that wait for room at the stop: with some events accepted, or with none. */
const stopped = ['stream', 'produce', 'unary', 'http', 'ndjson'].flatMap((call) => [`${call}-some`, `${call}-none`])
const cases = allPlaces.length * (2 * Object.keys(endings).length + allBodies.length)
const numbered = Array.from({ length: cases }, (_, index) => `case-${index}`)

async function acceptedIn(server: InProcessServer, topic: string): Promise<number> {
  const line = (await server.ledger()).find((each) => each.topic === topic)
  return Number(line?.accepted)
}

/** Waits until the log has taken this many events of the topic. */
function taken(server: InProcessServer, topic: string, events: number): Promise<void> {
  return eventually(async () => assert.equal(await acceptedIn(server, topic), events))
}

async function errorOf(call: Promise<unknown>): Promise<MillraceError> {
  const failure = await call.then(
    () => assert.fail('the call must fail'),
    (error: ServiceError) => error,
  )
  return errorOfCall(failure)
}

interface Problem {
  readonly status: number
  readonly code: string | undefined
  readonly taken: readonly (number | undefined)[]
}

async function answerOn(connection: RawConnection): Promise<Problem> {
  const text = await eventually(() => {
    const received = connection.received().toString()
    assert.match(received, /\}$/)
    return received
  })
  const [first] = text.split('\r\n', 1)
  const { code, accepted, dropped, rejected } = JSON.parse(text.slice(text.indexOf('\r\n\r\n')))
  return { status: Number(first?.split(' ')[1]), code, taken: [accepted, dropped, rejected] }
}

test('a publish call that ends early says what it took', async (t) => {
  const server = await startInProcess(t, {
    topics: [...numbered, ...stopped, 'idle-stream', 'idle-produce', 'idle-ndjson'],
    env: { MILLRACE_ROLES: 'ingest', MILLRACE_MAX_WAITING_EVENTS: '20' },
  })
  const grpc = grpcClient(t, server)
  const freeTopics = numbered.values()
  const newTopic = () => freeTopics.next().value as string

  for (const place of allPlaces) {
    for (const [ending, { bytes, code }] of Object.entries(endings)) {
      await t.test(`PublishStream, ${ending} ${place}`, async () => {
        const topic = newTopic()
        const stream = grpc.publishStream()
        if (places[place] > 0) await stream.send({ topic, events: [...orders(3), { type: '' }] })
        if (place === 'behind an answered message') await taken(server, topic, 3)
        stream.call.write(bytes)
        const error = await errorOf(stream.summary)
        const [accepted, rejected] = places[place] === 0 ? [0, 0] : [3, 1]
        assert.deepEqual([error.code, error.taken], [code, { accepted, dropped: 0, rejected }])
        assert.equal(await acceptedIn(server, topic), accepted)
      })

      await t.test(`Produce, ${ending} ${place}`, async () => {
        const topic = newTopic()
        const produce = grpc.produce()
        if (places[place] > 0) {
          await produce.send({ topic, producerId: topic, sequence: 1, events: [...orders(3), { type: '' }] })
        }
        if (place === 'behind an answered message') await eventually(() => assert.equal(produce.responses.length, 1))
        produce.call.write(bytes)
        assert.equal(errorOfCall(await produce.ended).code, code)
        const acknowledged = produce.responses.map(({ ackedThrough, rejections }) => [ackedThrough, rejections.length])
        assert.deepEqual(acknowledged, places[place] === 0 ? [] : [[1n, 1]])
        assert.equal(await acceptedIn(server, topic), places[place])
      })
    }

    for (const body of allBodies) {
      await t.test(`NDJSON, ${body} ${place}`, async (s) => {
        const topic = newTopic()
        const { fields, rest, half } = bodies[body]
        const connection = await rawConnection(s, server.http)
        const lines = places[place] === 0 ? '' : '{"type":"a"}\n{"type":""}\n{"type":"a"}\n{"type":"a"}\n'
        const given = fields(lines)
        const framed = given.includes('chunked') && lines !== '' ? chunked(lines) : lines
        connection.socket.write(head(topic, given) + framed)
        if (place === 'behind an answered message') await taken(server, topic, 3)
        connection.socket.write(rest())
        if (half) connection.socket.end()
        const answer = await answerOn(connection)
        const accepted = places[place]
        const refused = (accepted === 0 ? 0 : 1) + (body === 'a content-length that ends in a line' ? 1 : 0)
        assert.deepEqual(answer.taken, [accepted, 0, refused])
        const whole = body === 'a content-length that ends in a line' && accepted > 0
        assert.deepEqual([answer.status, answer.code], whole ? [202, undefined] : [400, 'invalid_event'])
        assert.equal(await acceptedIn(server, topic), accepted)
        await connection.closed
      })
    }
  }

  await t.test('Publish and JSON take nothing of a message that they cannot read whole', async (s) => {
    for (const { bytes, code } of Object.values(endings)) {
      assert.equal((await errorOf(grpc.publishBytes(bytes))).code, code)
    }
    for (const rest of ['zz\r\n', chunked(torn)]) {
      const connection = await rawConnection(s, server.http)
      const json = head('events', 'Transfer-Encoding: chunked').replace('x-ndjson', 'json')
      connection.socket.end(`${json}${chunked('[{"type":"a"},')}${rest}`)
      const { status, code } = await answerOn(connection)
      assert.deepEqual([status, code], [400, 'invalid_event'])
    }
    assert.equal(await acceptedIn(server, 'events'), 0)
  })

  await t.test('the client has the counts of a refused call', async (s) => {
    const failure = await clientOf(s, server)
      .publishEvents([{ type: '' }, { type: '' }])
      .then(
        () => assert.fail('the call must fail'),
        (error: MillraceError) => error,
      )
    assert.deepEqual([failure.outcomeUnknown, failure.taken], [false, { accepted: 0, dropped: 0, rejected: 2 }])
  })

  await t.test('a request that is answered after garbage behind it keeps its answer', async (s) => {
    const connection = await rawConnection(s, server.http)
    const body = '[{"type":"a"}]'
    const json = head('events', `Content-Length: ${body.length}`).replace('x-ndjson', 'json')
    connection.socket.write(`${json}${body}garbage\r\n\r\n`)
    assert.deepEqual((await answerOn(connection)).status, 202)
    assert.match(connection.received().toString(), /\r\nconnection: close\r\n/i)
    await connection.closed
    assert.equal(await acceptedIn(server, 'events'), 1)
  })

  await t.test('a stop', async (s) => {
    const wait = { overflow: Overflow.WAIT }
    // Low priority may fill 16 of the 20 events. Where only some of a message waits, an urgent event of it is taken.
    const some = [...orders(1, { priority: Priority.HIGH }), ...orders(1, { priority: Priority.LOW })]
    const none = orders(1, { priority: Priority.LOW })
    for (const topic of stopped) await grpc.publish({ topic, events: orders(16, { priority: Priority.LOW }) })

    const idle = { stream: grpc.publishStream(), produce: grpc.produce(), ndjson: await rawConnection(s, server.http) }
    await idle.stream.send({ topic: 'idle-stream', events: orders(3) })
    await idle.produce.send({ topic: 'idle-produce', producerId: 'idle', sequence: 1, events: orders(3) })
    idle.ndjson.socket.write(head('idle-ndjson', 'Transfer-Encoding: chunked') + chunked('{"type":"a"}\n'.repeat(3)))
    for (const call of Object.keys(idle)) await taken(server, `idle-${call}`, 3)

    const streams = { some: grpc.publishStream(), none: grpc.publishStream() }
    const produces = { some: grpc.produce(), none: grpc.produce() }
    await streams.some.send({ topic: 'stream-some', ...wait, events: some })
    await streams.none.send({ topic: 'stream-none', ...wait, events: none })
    await produces.some.send({ topic: 'produce-some', ...wait, producerId: 'some', sequence: 1, events: some })
    await produces.none.send({ topic: 'produce-none', ...wait, producerId: 'none', sequence: 1, events: none })
    const unary = {
      some: grpc.publish({ topic: 'unary-some', ...wait, events: some }),
      none: errorOf(grpc.publish({ topic: 'unary-none', ...wait, events: none })),
    }
    const low = '{"type":"a","priority":"low"}\n'
    const high = '{"type":"a","priority":"high"}\n'
    const http = async (topic: string, body: string, type: string) => {
      const connection = await rawConnection(s, server.http)
      const opening = head(`${topic}&overflow=wait`, `Content-Length: ${body.length + 1}`).replace('x-ndjson', type)
      connection.socket.write(opening + body)
      // The body of JSON must be whole to be published; that of NDJSON stays open.
      if (type === 'json') connection.socket.write(' ')
      return answerOn(connection)
    }
    const answers = {
      'http-some': http('http-some', `[${high},${low}]`, 'json'),
      'http-none': http('http-none', `[${low}]`, 'json'),
      'ndjson-some': http('ndjson-some', high + low, 'x-ndjson'),
      'ndjson-none': http('ndjson-none', low, 'x-ndjson'),
    }
    await eventually(async () => {
      const text = await metricsOf(server)
      for (const topic of stopped) {
        const received = `millrace_events_received_total{topic="${topic}"} ${topic.endsWith('some') ? 18 : 17}\n`
        assert.ok(text.includes(received), `the server must have read ${received}`)
      }
    })
    await server.stop()

    const endOf = async (call: { readonly ended: Promise<StatusObject>; readonly responses: readonly object[] }) => {
      const { code } = errorOfCall(await call.ended)
      return [code, call.responses.length]
    }
    const takenBy = async (call: Promise<unknown>) => {
      const { code, taken: counts } = await errorOf(call)
      return [code, counts?.accepted, counts?.rejected]
    }
    assert.deepEqual(await takenBy(idle.stream.summary), ['draining', 3, 0])
    assert.deepEqual(await takenBy(streams.some.summary), ['draining', 1, 1])
    assert.deepEqual(await takenBy(streams.none.summary), ['draining', 0, 0])
    assert.deepEqual(await endOf(idle.produce), ['draining', 1])
    assert.deepEqual(await endOf(produces.some), ['unavailable', 0])
    assert.deepEqual(await endOf(produces.none), ['draining', 0])
    const { accepted, rejections } = await unary.some
    const refused = rejections.map(({ index, code, retryAfter }) => [index, code, retryAfter?.seconds])
    assert.deepEqual([accepted, refused], [1n, [[1n, 'draining', 1n]]])
    assert.equal((await unary.none).code, 'draining')
    const problems = Object.fromEntries(
      await Promise.all(Object.entries(answers).map(async ([topic, answer]) => [topic, await answer])),
    )
    assert.deepEqual(problems, {
      'http-some': { status: 202, code: undefined, taken: [1, 0, undefined] },
      'http-none': { status: 503, code: 'draining', taken: [undefined, undefined, undefined] },
      'ndjson-some': { status: 503, code: 'draining', taken: [1, 0, 1] },
      'ndjson-none': { status: 503, code: 'draining', taken: [0, 0, 0] },
    })
    assert.deepEqual(await answerOn(idle.ndjson), { status: 503, code: 'draining', taken: [3, 0, 0] })

    await server.start()
    for (const topic of stopped) assert.equal(await acceptedIn(server, topic), topic.endsWith('some') ? 17 : 16, topic)
  })
})
