import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../../errors.ts'
import { eventually } from '../eventually.test-support.ts'
import { ask, post, startTestServer } from './http-client.test-support.ts'

test('one event of plain JSON is accepted, with defaults for absent values', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const answer = await post(url, '{"type":"order.created","data":{"total":12.50}}')

  assert.equal(answer.status, 202)
  assert.deepEqual(answer.json, { accepted: 1, dropped: 0, rejections: [], durability: 'disk' })
  const [event] = pipeline.events
  assert.deepEqual(
    [event?.type, event?.topic, event?.source, event?.timeMicros],
    ['order.created', 'events', '/', null],
  )
  assert.equal(Buffer.from(event!.data).toString(), '{"total":12.50}')
})

test('every key of an event arrives as it was sent', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const answer = await post(
    url,
    [
      {
        id: 'a-1',
        source: '/shop',
        type: 'order.created',
        subject: 'order/1',
        time: '2026-11-21T10:30:00.123456789+01:00',
        data: [1],
        data_content_type: 'application/vnd.order+json',
        priority: 'high',
        key: 'customer-1',
        attributes: { traceparent: '00-x', ключ: '"ü"\n' },
      },
      { id: 'a-2', type: 'picture', data_base64: '/9j/4A==', data_content_type: 'image/jpeg', priority: 'low' },
      { id: 'a-3', type: 'note', data: 'line\n€', data_content_type: 'text/plain' },
    ],
    '?topic=orders',
  )

  assert.equal(answer.json.accepted, 3)
  const [first, second, third] = pipeline.events
  assert.deepEqual(
    { ...first, data: Buffer.from(first!.data).toString(), attributes: [...first!.attributes], receivedAtMicros: 0 },
    {
      id: 'a-1',
      source: '/shop',
      type: 'order.created',
      subject: 'order/1',
      timeMicros: 1795253400123456,
      data: '[1]',
      dataContentType: 'application/vnd.order+json',
      lane: 'high',
      key: 'customer-1',
      attributes: [
        ['traceparent', '00-x'],
        ['ключ', '"ü"\n'],
      ],
      topic: 'orders',
      receivedAtMicros: 0,
    },
  )
  assert.deepEqual(Buffer.from(second!.data), Buffer.from([0xff, 0xd8, 0xff, 0xe0]))
  assert.equal(second?.lane, 'low')
  assert.equal(Buffer.from(third!.data).toString(), 'line\n€')
})

test('data is kept byte for byte: digits, exponents, duplicate keys, spaces and escapes', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const data = '{ "n": 12345678901234567890, "e":1E-7,"n":1.0,\t"s":"\\u00e9\\/😀", "deep":[[[]]] , "big":1e399 }'

  await post(url, `[ {"data":${data} , "type" : "t"} ]`)

  assert.equal(Buffer.from(pipeline.events[0]!.data).toString(), data)
})

/** Each is sent between two valid events. */
const badEvents: readonly (readonly [string, string, RegExp])[] = [
  ['an empty type', '{"type":""}', /^type is empty/],
  ['a missing type', '{"data":1}', /^type is empty/],
  ['an unknown key', '{"type":"a","datas":1}', /^key "datas" is unknown; an event has id, source, type/],
  ['__proto__ as a key', '{"type":"a","__proto__":{"admin":true}}', /^key "__proto__" is unknown/],
  ['a key that only the server sets', '{"type":"a","received_at":"x"}', /^"received_at" is output only/],
  ['a key given twice', '{"type":"a","id":"1","id":"2"}', /^id is given twice/],
  ['a key that is not a string', '{"type":7}', /^type must be a string/],
  ['null for a string', '{"type":"a","subject":null}', /^subject must be a string/],
  ['data and data_base64', '{"type":"a","data":1,"data_base64":""}', /^data and data_base64 are both given/],
  ['broken base64', '{"type":"a","data_base64":"####"}', /^data_base64 must be/],
  ['base64 without its padding', '{"type":"a","data_base64":"YQ"}', /^data_base64 must be/],
  ['an unknown priority', '{"type":"a","priority":"urgent"}', /^priority must be "low", "normal" or "high"/],
  ['a time without offset', '{"type":"a","time":"2026-11-21T10:30:00"}', /^time is not an RFC 3339 time/],
  ['a leap second', '{"type":"a","time":"2016-12-31T23:59:60Z"}', /^time has second 60: leap seconds/],
  ['attributes that are not an object', '{"type":"a","attributes":[]}', /^attributes must be an object of strings/],
  ['an attribute that is not a string', '{"type":"a","attributes":{"n":1}}', /^attributes\.n must be a string/],
  ['an attribute given twice', '{"type":"a","attributes":{"n":"1","n":"2"}}', /^attributes\.n is given twice/],
  ['a NUL escape in data', '{"type":"a","data":["\\u0000"]}', /^data has the escape \\u0000/],
  ['a NUL escape in a name', '{"type":"a","x\\u0000":1}', /^key "x\\u0000" is unknown/],
  ['half a surrogate pair', '{"type":"a","data":{"x":"\\ud800"}}', /^data has half a surrogate pair/],
  ['half a surrogate pair in a name', '{"type":"a","\\udc00":1}', /^key "\\udc00" is unknown/],
  ['a NUL escape in a text', '{"type":"a","subject":"\\u0000"}', /^subject has the escape \\u0000/],
  ['half a surrogate pair in a text', '{"type":"a","id":"\\udfff"}', /^id has half a surrogate pair/],
  ['half a surrogate pair in an attribute', '{"type":"a","attributes":{"x":"\\ud800"}}', /^attributes has half a surr/],
  ['depth 65', `{"type":"a","data":${'['.repeat(65)}${']'.repeat(65)}}`, /^data nests deeper than 64 levels/],
  ['a number of 401 digits', '{"type":"a","data":[1e400]}', /^data has a number .* 400 digits .*\(at byte 1\)/],
  ['a value that is not an object', '"type"', /^an event must be a JSON object/],
  ['a deep value that is not an object', `${'['.repeat(70)}${']'.repeat(70)}`, /^an event must be a JSON object/],
  ['an id of 256 bytes', `{"type":"a","id":"${'x'.repeat(256)}"}`, /^id has 256 bytes; the limit is 255/],
  ['a key of more than 1 KiB', `{"type":"a","key":"${'k'.repeat(1025)}"}`, /^key has 1025 bytes; the limit is 1024/],
  ['binary data under a JSON type', '{"type":"a","data_base64":"/9j/4A=="}', /^data is not valid/],
]

for (const [what, text, problem] of badEvents) {
  test(`fault I11, I12: ${what} rejects that event alone, by its index and field`, async (t) => {
    const { url, pipeline } = await startTestServer(t)

    const answer = await post(url, `[{"type":"before"},${text},{"type":"behind"}]`)

    assert.equal(answer.status, 202)
    assert.equal(answer.json.accepted, 2)
    const [rejection, ...others] = answer.json.rejections
    assert.equal(others.length, 0)
    assert.equal(rejection?.index, 1)
    assert.equal(rejection?.code, 'invalid_event')
    assert.match(rejection?.message ?? '', problem)
    assert.deepEqual(
      pipeline.events.map(({ type }) => type),
      ['before', 'behind'],
    )
    assert.equal(({} as { admin?: unknown }).admin, undefined)
  })
}

test('bad UTF-8 rejects the event that has it', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const bad = Buffer.concat([Buffer.from('{"type":"a","data":"'), Buffer.from([0xff]), Buffer.from('"}')])

  const answer = await post(url, Buffer.concat([Buffer.from('[{"type":"b"},'), bad, Buffer.from(']')]))

  assert.match(answer.json.rejections[0]!.message, /^data is not valid UTF-8/)
  assert.equal(pipeline.events.length, 1)
})

test('text that JSON allows is accepted: braces in a key, an empty key, characters outside the BMP', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  await post(url, '[{"type":"a","key":"{x}"},{"type":"a","key":""},{"type":"😀","subject":"\\ud83d\\ude00"}]')

  assert.deepEqual(
    pipeline.events.map(({ key, type, subject }) => [key, type, subject]),
    [
      ['{x}', 'a', ''],
      ['', 'a', ''],
      ['', '😀', '😀'],
    ],
  )
})

const badBodies: readonly (readonly [string, string, RegExp])[] = [
  ['nothing', '', /^the body is empty/],
  ['a number', '7', /^the body must be a JSON object, or an array of them/],
  ['text that is not JSON', 'type=a', /^the body is not valid JSON \(at byte 0\)/],
  ['a byte order mark', '\ufeff{"type":"a"}', /^the body begins with a byte order mark/],
  ['a truncated object', '{"type":"a"', /^the body is not valid JSON \(at byte 11\)/],
  ['a truncated array', '[{"type":"a"},', /^the body is not valid JSON/],
  ['text after it', '{"type":"a"} {"type":"b"}', /^the body is not valid JSON \(at byte 13\)/],
  ['a trailing comma', '[{"type":"a"},]', /^the body is not valid JSON/],
  ['a value that is not JSON', '[{"type":"a"},{"type":"b","data":tru}]', /^the body is not valid JSON/],
  ['single quotes', "{'type':'a'}", /^the body is not valid JSON \(at byte 1\)/],
]

for (const [what, body, detail] of badBodies) {
  test(`a body of ${what} is refused as a whole`, async (t) => {
    const { url, pipeline } = await startTestServer(t)

    const answer = await post(url, body)

    assert.equal(answer.status, 400)
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.equal(answer.json.code, 'invalid_event')
    assert.equal(answer.json.field, 'body')
    assert.match(answer.json.detail, detail)
    assert.equal(pipeline.calls.length, 0)
  })
}

test('when nothing is accepted the problem has the status of the first rejection and lists them all', async (t) => {
  const { url } = await startTestServer(t)

  const answer = await post(url, '[{"type":""},{"type":"a","x":1}]')

  assert.equal(answer.status, 400)
  assert.equal(answer.json.code, 'invalid_event')
  assert.equal(answer.json.title, 'The event or request is not valid')
  assert.equal(answer.json.status, 400)
  assert.deepEqual(
    answer.json.rejections.map(({ index }) => index),
    [0, 1],
  )
})

test('when there is no room the answer is 429 with Retry-After in whole seconds, rounded up', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)

  const answer = await post(url, '[{"type":""},{"type":"a"}]')

  assert.equal(answer.status, 429)
  assert.equal(answer.headers.get('retry-after'), '2')
  assert.equal(answer.json.code, 'backlogged')
  assert.equal(answer.json.rejections[1]!.retry_after, 1.5)
})

test('with overflow=drop events without room are counted; with overflow=wait the request waits for room', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  pipeline.makeRoom(1)

  const dropped = await post(url, [{ type: 'a' }, { type: 'b' }], '?overflow=drop')
  const waiting = post(url, { type: 'c' }, '?overflow=wait')
  await eventually(() => pipeline.calls.length === 2)
  pipeline.makeRoom(9)

  assert.deepEqual([dropped.status, dropped.json.accepted, dropped.json.dropped], [202, 1, 1])
  assert.equal((await waiting).json.accepted, 1)
  assert.equal(pipeline.calls[1]?.options?.maxWaitMs, 10_000)
})

test('events stop waiting for room when their client disconnects', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const gone = new AbortController()

  const request = ask(`${url}/v1/events?overflow=wait`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"type":"a"}',
    signal: gone.signal,
  })
  await eventually(() => pipeline.calls.length === 1)
  const since = performance.now()
  gone.abort()

  await assert.rejects(request)
  await eventually(() => pipeline.calls[0]?.options?.signal?.aborted)
  assert.ok(performance.now() - since < 5000, 'the wait must end before its time of 10 s')
})

test('an empty array succeeds and accepts nothing', async (t) => {
  const { url } = await startTestServer(t)

  const answer = await post(url, ' [ ] ')

  assert.deepEqual([answer.status, answer.json.accepted], [202, 0])
})

const refusedTargets: readonly (readonly [string, number, string, string])[] = [
  ['?topic=nowhere', 404, 'not_found', 'topic'],
  ['?topic=Stra%C3%9Fe', 400, 'invalid_event', 'topic'],
  ['?topic=', 400, 'invalid_event', 'topic'],
  ['?overflow=never', 400, 'invalid_event', 'overflow'],
  ['?topics=orders', 400, 'invalid_event', 'topics'],
  ['?topic=orders&topic=events', 400, 'invalid_event', 'topic'],
]

for (const [query, status, code, field] of refusedTargets) {
  test(`${query} is ${status} naming ${field}`, async (t) => {
    const { url } = await startTestServer(t)

    const answer = await post(url, { type: 'a' }, query)

    assert.deepEqual([answer.status, answer.json.code, answer.json.field], [status, code, field])
  })
}

test('an event of 2 MiB is 413 naming the limit, and so is a body over 4 MiB', async (t) => {
  const { url } = await startTestServer(t)

  const event = await post(url, { type: 'a', data: 'x'.repeat(2 * 1024 * 1024) })
  const body = await post(url, { type: 'a', data: 'x'.repeat(4 * 1024 * 1024) })
  const alive = await post(url, { type: 'a' })

  assert.deepEqual([event.status, event.json.code], [413, 'event_too_large'])
  assert.match(event.json.detail, /1048576/)
  assert.deepEqual([body.status, body.json.code], [413, 'message_too_large'])
  assert.match(body.json.detail, /4194304/)
  assert.equal(alive.status, 202)
})

test('a body over 4 MiB without a length is cut at the limit', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const piece = Buffer.alloc(256 * 1024, ' ')
  const stream = new ReadableStream({
    pull: (controller) => controller.enqueue(piece),
  })

  const answer = await ask(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: stream,
    duplex: 'half',
  } as RequestInit).catch((error: Error) => error)

  assert.ok(answer instanceof Error || answer.status === 413)
  assert.equal(pipeline.calls.length, 0)
})

test('100,001 events in one body are 413', async (t) => {
  const { url } = await startTestServer(t)

  const answer = await post(url, `[${'{"type":"a"},'.repeat(100_000)}{"type":"a"}]`)

  assert.deepEqual([answer.status, answer.json.code], [413, 'too_many_events'])
  assert.match(answer.json.detail, /100000/)
})

for (const [what, headers] of [
  ['no content type', { 'content-type': '' }],
  ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
  ['text', { 'content-type': 'text/plain' }],
  ['an unknown CloudEvents format', { 'content-type': 'application/cloudevents+avro' }],
  ['a CloudEvents type without format', { 'content-type': 'application/cloudevents' }],
  ['another charset', { 'content-type': 'application/json; charset=iso-8859-1' }],
  ['a charset that begins like UTF-8', { 'content-type': 'application/json; charset=utf-80' }],
] as const) {
  test(`${what} is 415`, async (t) => {
    const { url } = await startTestServer(t)

    const answer = await post(url, '{"type":"a"}', '', headers)

    assert.deepEqual([answer.status, answer.json.code], [415, 'unsupported_media_type'])
  })
}

test('a content type may have parameters, and any case', async (t) => {
  const { url } = await startTestServer(t)

  for (const type of ['Application/JSON; Charset="UTF-8"', 'application/json; charset=utf8', 'application/ndjson']) {
    const answer = await post(url, '{"type":"a"}', '', { 'content-type': type })
    assert.deepEqual([answer.status, answer.json.accepted], [202, 1], type)
  }
})

test('while the server drains or the log is unreachable the answer is 503 with Retry-After', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  pipeline.draining = true
  const draining = await post(url, { type: 'a' })
  pipeline.draining = false
  pipeline.failure = new MillraceError('unavailable', 'the log is unreachable', { retryAfterMs: 2100 })
  const unreachable = await post(url, { type: 'a' })

  assert.deepEqual([draining.status, draining.json.code], [503, 'draining'])
  assert.equal(draining.headers.get('retry-after'), '1')
  assert.deepEqual([unreachable.status, unreachable.json.code], [503, 'unavailable'])
  assert.equal(unreachable.headers.get('retry-after'), '3')
})

test('when the log hangs the answer is 504 and says that the outcome is unknown', async (t) => {
  const { url, pipeline } = await startTestServer(t, { times: { maxAnswerMs: 100 } })
  pipeline.hold()

  const answer = await post(url, { type: 'a' })

  assert.deepEqual([answer.status, answer.json.code], [504, 'deadline_exceeded'])
  assert.match(answer.json.detail, /the outcome is unknown/)
})

test('the details of an internal error are logged but not sent to the caller', async (t) => {
  const { url, pipeline, log } = await startTestServer(t)
  pipeline.failure = new TypeError('secret detail') as unknown as MillraceError

  const answer = await post(url, { type: 'a' }, '', {
    'x-request-id': 'order-7',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  })

  assert.equal(answer.status, 500)
  assert.equal(answer.headers.get('x-request-id'), 'order-7')
  assert.doesNotMatch(answer.text, /secret|TypeError|\.ts/)
  await eventually(() => log.lines.length > 0)
  const [line] = log.lines
  assert.deepEqual(
    [line?.level, line?.request_id, line?.trace_id, line?.route, line?.status],
    ['error', 'order-7', '0af7651916cd43dd8448eb211c80319c', '/v1/events', 500],
  )
  assert.match(JSON.stringify(line?.error), /secret detail/)
})
