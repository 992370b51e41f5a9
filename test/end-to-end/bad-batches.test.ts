// Bad input, case by case: the error names field and limit, the other
// events are accepted, and the connection and the process survive.

import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import type { ServiceError } from '@grpc/grpc-js'
import { backends } from '../support/backend.ts'
import { newId, order, type TestEvent } from '../support/events.ts'
import { within } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { type PublishBody, postEvents, postJson } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { drained, tally } from '../support/tally.ts'

const mebibyte = 1024 * 1024
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const json = (text: string): Partial<TestEvent> => ({ data: Buffer.from(text) })

/** What is wrong with one event, the code of its rejection, and what the message must name. */
const badEvents: readonly { what: string; bad: Partial<TestEvent>; code: string; names: RegExp }[] = [
  { what: 'an empty type', bad: { type: '' }, code: 'invalid_event', names: /type.*255/ },
  { what: 'a type of 256 bytes', bad: { type: 't'.repeat(256) }, code: 'invalid_event', names: /type.*255/ },
  { what: 'an event of 2 MiB', bad: json(`"${'x'.repeat(2 * mebibyte)}"`), code: 'event_too_large', names: /1048576/ },
  { what: 'data that is not JSON', bad: json('{"a":}'), code: 'invalid_event', names: /data.*JSON/ },
  { what: 'the NUL escape', bad: json('"\\u0000"'), code: 'invalid_event', names: /data.*\\u0000/ },
  { what: 'half a surrogate pair', bad: json('"\\ud83d"'), code: 'invalid_event', names: /data.*surrogate/ },
  { what: 'depth 65', bad: json(nested(65)), code: 'invalid_event', names: /data.*64/ },
  {
    what: 'data that is not UTF-8',
    bad: { data: Buffer.from([0x22, 0xff, 0x22]) },
    code: 'invalid_event',
    names: /data.*UTF-8/,
  },
  { what: 'an id with a NUL', bad: { id: 'a\0b' }, code: 'invalid_event', names: /id.*NUL/ },
  { what: 'an id of 256 bytes', bad: { id: 'i'.repeat(256) }, code: 'invalid_event', names: /id.*255/ },
  { what: 'a key of 1,025 bytes', bad: { key: 'k'.repeat(1025) }, code: 'invalid_event', names: /key.*1024/ },
  {
    what: '65 attributes',
    bad: { attributes: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`a${index}`, ''])) },
    code: 'invalid_event',
    names: /attributes.*64/,
  },
  { what: 'an unknown priority', bad: { priority: 9 as never }, code: 'invalid_event', names: /priority/ },
]

for (const backend of backends('embedded', 'redis'))
  test(`one bad event of a batch is rejected with field and limit, and the others land (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const grpc = grpcClient(t, server)
    let good = 0

    for (const { what, bad, code, names } of badEvents) {
      await t.test(`${what} (gRPC)`, async () => {
        const events = [order(1), { ...order(2), ...bad }, order(3)]
        const { accepted, rejections, dropped } = await grpc.publish({ events })
        good += 2
        assert.deepEqual([accepted, dropped, rejections.length], [2n, 0n, 1])
        const [rejection] = rejections
        assert.deepEqual([rejection?.index, rejection?.code], [1n, code])
        assert.match(rejection?.message ?? '', names)
        if (bad.id === undefined && code !== 'event_too_large') assert.equal(rejection?.id, events[1]?.id)
        assert.equal(rejection?.retryAfter, undefined, 'an event that can never be accepted has no retry time')
      })
    }

    await t.test('the same in a stream: the index counts through the whole call', async () => {
      const stream = grpc.publishStream()
      await stream.send({ events: [order(1), { type: '' }] })
      await stream.send({ events: [{ type: '' }] })
      await stream.send({ events: [order(2)] })
      stream.call.end()
      const { received, accepted, rejected, dropped, rejections, status } = await stream.summary
      good += 2
      assert.deepEqual([received, accepted, rejected, dropped, status], [4n, 2n, 2n, 0n, 2])
      assert.deepEqual(
        rejections.map(({ index, code }) => [index, code]),
        [
          [1n, 'invalid_event'],
          [2n, 'invalid_event'],
        ],
      )
    })

    const http: Record<string, { bad: string; code: string; names: RegExp }> = {
      'an empty type': { bad: '{"type":""}', code: 'invalid_event', names: /type.*255/ },
      'no type': { bad: '{"data":1}', code: 'invalid_event', names: /type/ },
      'an unknown key': { bad: '{"type":"t","colour":"red"}', code: 'invalid_event', names: /colour/ },
      'depth 65': { bad: `{"type":"t","data":${nested(65)}}`, code: 'invalid_event', names: /data.*64/ },
      'the NUL escape': { bad: '{"type":"t","data":"\\u0000"}', code: 'invalid_event', names: /data.*\\u0000/ },
      'a bad priority': { bad: '{"type":"t","priority":"urgent"}', code: 'invalid_event', names: /priority/ },
      'a bad time': { bad: '{"type":"t","time":"yesterday"}', code: 'invalid_event', names: /time/ },
      'bad base64': { bad: '{"type":"t","data_base64":"*"}', code: 'invalid_event', names: /data_base64/ },
      'data twice': { bad: '{"type":"t","data":1,"data_base64":"eA=="}', code: 'invalid_event', names: /data/ },
      'a number for a type': { bad: '{"type":7}', code: 'invalid_event', names: /type/ },
      'an event of 2 MiB': {
        bad: `{"type":"t","data":"${'x'.repeat(2 * mebibyte - 1000)}"}`,
        code: 'event_too_large',
        names: /1048576/,
      },
    }
    for (const [what, { bad, code, names }] of Object.entries(http)) {
      await t.test(`${what} (HTTP)`, async () => {
        for (const contentType of ['application/json', 'application/x-ndjson']) {
          const lines = ['{"type":"order.placed"}', bad, '{"type":"order.placed"}']
          const body = contentType === 'application/json' ? `[${lines.join(',')}]` : lines.join('\n')
          const answer = await postEvents(server.http, body, { contentType })
          assert.equal(answer.status, 202, answer.text)
          const { accepted, rejections } = JSON.parse(answer.text) as PublishBody
          good += 2
          assert.equal(accepted, 2)
          assert.deepEqual(
            rejections.map((rejection) => [rejection.index, rejection.code]),
            [[1, code]],
          )
          assert.match(rejections[0]?.message ?? '', names)
        }
      })
    }

    await t.test('exactly the accepted events have landed', async () => {
      await drained(server)
      assert.deepEqual(await tally(server), { waiting: 0, landed: good, dead: 0 })
      const types = await home.query('SELECT type, count(*) AS n FROM landed GROUP BY type')
      assert.deepEqual(
        types.map((row) => [row.type, row.n]),
        [['order.placed', good]],
      )
    })
  })

test('a message that is bad as a whole is refused with the reason, and the server continues', async (t) => {
  const server = await startInProcess(t)
  const grpc = grpcClient(t, server)
  const refusal = async (sending: Promise<unknown>): Promise<ServiceError> => {
    const failure = await sending.then(
      () => null,
      (error: ServiceError) => error,
    )
    assert.ok(failure, 'it was accepted')
    return failure
  }
  const status = { invalidArgument: 3, notFound: 5, resourceExhausted: 8 }

  await t.test('100,001 events in one message', async () => {
    const events = Array.from({ length: 100_001 }, () => ({ type: 't' }))
    const failure = await refusal(grpc.publish({ events }))
    assert.equal(failure.code, status.invalidArgument)
    assert.match(failure.details, /100,?000/)
    const answer = await postJson(server.http, events)
    assert.deepEqual([answer.status, answer.body.code], [413, 'too_many_events'])
    assert.match(answer.body.detail, /100,?000/)
  })

  await t.test('a message beyond 4 MiB', async () => {
    const data = Buffer.from(`"${'x'.repeat(mebibyte - 100)}"`)
    const failure = await refusal(grpc.publish({ events: Array.from({ length: 5 }, () => ({ type: 't', data })) }))
    assert.equal(failure.code, status.resourceExhausted)
    assert.deepEqual(failure.metadata.get('grpc-retry-pushback-ms'), [], 'the client must not retry')
    const answer = await postEvents(server.http, Buffer.alloc(4 * mebibyte + 1, ' '))
    assert.equal(answer.status, 413)
    assert.match(answer.text, /4194304/)
  })

  await t.test('bytes that are not protobuf', async () => {
    const failure = await refusal(grpc.publishBytes(Buffer.from([0x0a, 0xff, 0xff, 0xff])))
    assert.equal(failure.code, status.invalidArgument)
  })

  await t.test('an undeclared topic, and a topic name with invalid characters', async () => {
    const unknown = await refusal(grpc.publish({ topic: 'nobody', events: [order(1)] }))
    assert.deepEqual([unknown.code, /nobody/.test(unknown.details)], [status.notFound, true])
    for (const topic of ['Bad Topic!', '../etc', 'x'.repeat(65), '_dead']) {
      const failure = await refusal(grpc.publish({ topic, events: [order(1)] }))
      assert.ok([status.notFound, status.invalidArgument].includes(failure.code), `${topic}: ${failure.details}`)
      assert.match(failure.details, /topic/)
      const answer = await postEvents(server.http, '{"type":"t"}', { query: `topic=${encodeURIComponent(topic)}` })
      assert.ok([400, 404].includes(answer.status), answer.text)
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
    }
  })

  await t.test('a wrong content type, a wrong overflow, bytes that are not JSON', async () => {
    for (const [body, options, expected] of [
      ['<event/>', { contentType: 'application/xml' }, [415, 'unsupported_media_type']],
      ['{"type":"t"}', { query: 'overflow=maybe' }, [400, 'invalid_event']],
      ['{"type":', {}, [400, 'invalid_event']],
      ['', {}, [400, 'invalid_event']],
      ['"text"', {}, [400, 'invalid_event']],
      ['[{"type":"t"},7]', {}, [202, undefined]],
    ] as const) {
      const answer = await postEvents(server.http, body, options)
      assert.equal(answer.status, expected[0], `${body}: ${answer.text}`)
      const problem = JSON.parse(answer.text) as PublishBody & { status?: number; title?: string; type?: string }
      if (expected[0] === 202) {
        assert.deepEqual([problem.accepted, problem.rejections.map(({ index }) => index)], [1, [1]])
      } else {
        assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
        assert.deepEqual([problem.status, problem.code], [expected[0], expected[1]])
        assert.ok(problem.title && problem.detail && problem.type, answer.text)
      }
    }
  })

  await t.test(
    'a call whose events are all rejected fails with the first rejection, and HTTP lists them all',
    async () => {
      const failure = await refusal(grpc.publish({ events: [{ type: '' }, { type: 't', data: Buffer.from('{') }] }))
      assert.equal(failure.code, status.invalidArgument)
      assert.match(failure.details, /type/)
      assert.ok(failure.metadata.get('grpc-status-details-bin').length > 0, 'the rich error is there')
      const answer = await postJson(server.http, [{ type: '' }, { type: 't', time: 'never' }])
      assert.deepEqual([answer.status, answer.body.code], [400, 'invalid_event'])
      assert.deepEqual(
        answer.body.rejections.map(({ index }) => index),
        [0, 1],
      )
    },
  )

  await t.test('half a line of NDJSON: the complete lines before it are accepted', async () => {
    const id = newId()
    const answer = await postEvents(server.http, `{"type":"half","id":"${id}"}\n{"type":"ha`, {
      contentType: 'application/x-ndjson',
    })
    const body = JSON.parse(answer.text) as PublishBody
    assert.deepEqual([answer.status, body.accepted, body.rejections.length], [202, 1, 1])
    assert.deepEqual([body.rejections[0]?.index, body.rejections[0]?.code], [1, 'invalid_event'])
  })

  await t.test('a connection that breaks in the middle of a line affects nothing else', async () => {
    const socket = connectTcp(Number(server.http.split(':')[1]), '127.0.0.1')
    socket.on('error', () => {})
    const head =
      'POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n'
    const line = '{"type":"torn"}\n{"type":"to'
    await new Promise<void>((resolve) =>
      socket.write(`${head}${line.length.toString(16)}\r\n${line}\r\n`, () => resolve()),
    )
    socket.resetAndDestroy()
    assert.equal((await postEvents(server.http, '{"type":"alive"}')).status, 202)
  })

  await t.test('the server still accepts events', async () => {
    assert.equal((await grpc.publish({ events: [order(1)] })).accepted, 1n)
    await drained(server)
    assert.doesNotMatch(server.stderr, /Unhandled|uncaught/i)
  })
})

test('a line of NDJSON over 2 MiB is rejected with its limit, and the lines around it land', async (t) => {
  const server = await startInProcess(t)
  const lines = ['{"type":"before"}', `{"type":"t","data":"${'x'.repeat(2 * mebibyte)}"}`, '{"type":"after"}']
  const sending = postEvents(server.http, lines.join('\n'), { contentType: 'application/x-ndjson' })
  const answer = await within(10_000, 'the answer', sending)
  const { accepted, rejections } = JSON.parse(answer.text) as PublishBody
  assert.deepEqual([answer.status, accepted], [202, 2], answer.text)
  assert.deepEqual([rejections[0]?.index, /2097152/.test(rejections[0]?.message ?? '')], [1, true], answer.text)
})
