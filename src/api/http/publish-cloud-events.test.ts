import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { anyPack, TimestampSchema, timestampFromMs } from '@bufbuild/protobuf/wkt'
import fc from 'fast-check'
import { CloudEventBatchSchema, CloudEventSchema } from '../../gen/io/cloudevents/v1/cloudevents_pb.ts'
import { decodeHeaderValue } from './cloud-event-headers.ts'
import { post, startTestServer } from './http-client.test-support.ts'

const structured = { 'content-type': 'application/cloudevents+json' }
const batch = { 'content-type': 'application/cloudevents-batch+json' }
const event = { specversion: '1.0', id: 'a-1', source: '/shop', type: 'com.shop.order' }
const binary = { 'ce-specversion': '1.0', 'ce-id': 'a-1', 'ce-source': '/shop', 'ce-type': 'com.shop.order' }

test('a structured event arrives with its attributes, extensions and data', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const body = `{"specversion":"1.0","id":"a-1","source":"/shop","type":"com.shop.order","subject":"order/1",
    "time":"2026-11-21T09:30:00Z","datacontenttype":"application/json","dataschema":"https://x/y",
    "partitionkey":"customer-1","priority":"low","traceparent":"00-x","retries":3,"test":true,"nothing":null,
    "receivedat":"2020-01-01T00:00:00Z","data":{"total": 12.50}}`
  const answer = await post(url, body, '', structured)

  assert.deepEqual(answer.json, { accepted: 1, dropped: 0, rejections: [], durability: 'disk' })
  const [kept] = pipeline.events
  assert.deepEqual(
    [kept?.id, kept?.source, kept?.type, kept?.subject, kept?.timeMicros, kept?.key, kept?.lane],
    ['a-1', '/shop', 'com.shop.order', 'order/1', 1795253400000000, 'customer-1', 'low'],
  )
  assert.equal(Buffer.from(kept!.data).toString(), '{"total": 12.50}')
  assert.deepEqual(
    [...kept!.attributes],
    [
      ['dataschema', 'https://x/y'],
      ['traceparent', '00-x'],
      ['retries', '3'],
      ['test', 'true'],
    ],
  )
})

test('data_base64, text under a type that is not JSON, and no data at all', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const answer = await post(
    url,
    [
      { ...event, id: '1', datacontenttype: 'image/jpeg', data_base64: '/9j/4A==' },
      { ...event, id: '2', datacontenttype: 'text/plain', data: 'a "b"\n' },
      { ...event, id: '3' },
      { ...event, id: '4', priority: 'urgent' },
    ],
    '',
    batch,
  )

  assert.equal(answer.json.accepted, 4)
  assert.deepEqual(
    pipeline.events.map(({ data }) => Buffer.from(data).toString('latin1')),
    ['\xff\xd8\xff\xe0', 'a "b"\n', '', ''],
  )
  assert.deepEqual([pipeline.events[3]?.lane, pipeline.events[3]?.attributes.get('priority')], ['normal', 'urgent'])
})

test('a batch may be empty; a single event is not a batch, and an array is not a single event', async (t) => {
  const { url } = await startTestServer(t)

  assert.deepEqual((await post(url, '[]', '', batch)).json.accepted, 0)
  const single = await post(url, event, '', batch)
  const many = await post(url, [event], '', structured)

  assert.deepEqual([single.status, many.status], [400, 400])
  assert.match(single.json.detail, /must be a JSON array/)
  assert.match(many.json.detail, /must be one JSON object/)
})

const badEvents: readonly (readonly [string, object, RegExp])[] = [
  ['no id', { ...event, id: undefined }, /^id is missing/],
  ['no source', { ...event, source: undefined }, /^source is missing/],
  ['no type', { ...event, type: null }, /^type is missing/],
  ['no specversion', { ...event, specversion: undefined }, /^specversion is missing/],
  ['another specversion', { ...event, specversion: '0.3' }, /^specversion is "0.3"; it must be "1.0"/],
  ['an empty id', { ...event, id: '' }, /^id is empty/],
  ['an empty subject', { ...event, subject: '' }, /^subject is empty/],
  ['a name in upper case', { ...event, myExtension: '1' }, /^"myExtension" cannot be an attribute/],
  ['an extension that is an object', { ...event, extra: {} }, /^extra must be a string, an integer or a boolean/],
  ['an extension that is not an integer', { ...event, extra: 1.5 }, /^extra must be/],
  ['an extension above 32 bits', { ...event, extra: 2147483648 }, /^extra must be/],
  ['a control character', { ...event, subject: 'a\nb' }, /^subject has a control character/],
  ['a bad time', { ...event, time: 'yesterday' }, /^time is not an RFC 3339 time/],
  ['both kinds of data', { ...event, data: 1, data_base64: 'YQ==' }, /^data and data_base64 are both given/],
]

for (const [what, bad, problem] of badEvents) {
  test(`an event of a batch with ${what} is rejected alone`, async (t) => {
    const { url } = await startTestServer(t)

    const answer = await post(url, [event, bad, event], '', batch)

    assert.equal(answer.json.accepted, 2)
    assert.equal(answer.json.rejections[0]!.index, 1)
    assert.match(answer.json.rejections[0]!.message, problem)
  })
}

test('a binary event takes its attributes from ce- headers and its data from the body, byte for byte', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const body = Buffer.from([0, 1, 2, 0xff])

  const answer = await post(url, body, '?topic=orders', {
    ...binary,
    'content-type': 'application/octet-stream',
    'CE-Subject': 'Euro%20%e2%82%ac%20%F0%9F%98%80',
    'ce-time': '2026-11-21T09:30:00Z',
    'ce-partitionkey': 'customer-1',
    'ce-myext': '"a\\"b%20c"',
  })

  assert.deepEqual([answer.status, answer.json.accepted], [202, 1])
  const [kept] = pipeline.events
  assert.deepEqual(
    [kept?.id, kept?.subject, kept?.timeMicros, kept?.key, kept?.topic, kept?.dataContentType],
    ['a-1', 'Euro € 😀', 1795253400000000, 'customer-1', 'orders', 'application/octet-stream'],
  )
  assert.deepEqual(Buffer.from(kept!.data), body)
  assert.equal(kept?.attributes.get('myext'), 'a"b c')
})

test('a binary event with JSON data is checked as JSON', async (t) => {
  const { url } = await startTestServer(t)

  assert.equal((await post(url, '{"total":1}', '', binary)).json.accepted, 1)
  const marked = await post(url, '\ufeff{"total":1}', '', binary)
  assert.match(marked.json.detail, /^data begins with a byte order mark: leave it out/)
  const bad = await post(url, '{"total":', '', binary)

  assert.deepEqual([bad.status, bad.json.code], [400, 'invalid_event'])
  assert.match(bad.json.detail, /^data is not valid JSON/)
})

const badHeaders: readonly (readonly [string, Record<string, string>, string, RegExp])[] = [
  [
    'some required headers missing',
    { 'ce-id': '1', 'ce-type': 'a' },
    'ce-specversion',
    /headers are missing: ce-specversion, ce-source$/,
  ],
  ['only an extension', { 'ce-myext': '1' }, 'ce-specversion', /missing: ce-specversion, ce-id, ce-source, ce-type$/],
  [
    'an overlong UTF-8 escape',
    { ...binary, 'ce-subject': '%C0%A0' },
    'ce-subject',
    /^ce-subject is not percent-encoded UTF-8/,
  ],
  ['a broken escape', { ...binary, 'ce-subject': '100%' }, 'ce-subject', /^ce-subject is not percent-encoded/],
  ['ce-datacontenttype', { ...binary, 'ce-datacontenttype': 'a/b' }, 'ce-datacontenttype', /use content-type instead/],
  ['an empty subject', { ...binary, 'ce-subject': '' }, 'ce-subject', /^ce-subject is empty/],
  ['a name with a dash', { ...binary, 'ce-my-ext': '1' }, 'ce-"my-ext"', /cannot be an attribute/],
  ['a bad time', { ...binary, 'ce-time': 'now' }, 'ce-time', /^ce-time is not an RFC 3339 time/],
]

for (const [what, headers, field, problem] of badHeaders) {
  test(`a binary event with ${what} is 400 naming the header`, async (t) => {
    const { url, pipeline } = await startTestServer(t)

    const answer = await post(url, '{}', '', headers)

    assert.equal(answer.status, 400)
    assert.equal(answer.json.field, field)
    assert.match(answer.json.detail, problem)
    assert.equal(pipeline.calls.length, 0)
  })
}

test('percent escapes are decoded once, unnecessary ones too', () => {
  assert.equal(decodeHeaderValue('a%2520b'), 'a%20b')
  assert.equal(decodeHeaderValue('%41%62'), 'Ab')
  assert.equal(decodeHeaderValue('"quoted \\\\ text"'), 'quoted \\ text')
  assert.equal(decodeHeaderValue('"'), '"')
  assert.equal(decodeHeaderValue(''), '')
})

test('any text encoded as the binding requires decodes to the same text', () => {
  const encode = (text: string) =>
    [...Buffer.from(text)]
      .map((byte) =>
        byte <= 0x20 || byte >= 0x7f || byte === 0x22 || byte === 0x25
          ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
          : String.fromCharCode(byte),
      )
      .join('')
  const text = fc.string({ unit: 'binary' }).map((made) => made.toWellFormed())
  fc.assert(fc.property(text, (value) => assert.equal(decodeHeaderValue(encode(value)), value)))
})

const protobufEvent = create(CloudEventSchema, {
  id: 'a-1',
  source: '/shop',
  specVersion: '1.0',
  type: 'com.shop.order',
  attributes: {
    subject: { attr: { case: 'ceString', value: 'order/1' } },
    time: { attr: { case: 'ceTimestamp', value: timestampFromMs(1795253400123) } },
    datacontenttype: { attr: { case: 'ceString', value: 'text/plain' } },
    retries: { attr: { case: 'ceInteger', value: -3 } },
    test: { attr: { case: 'ceBoolean', value: true } },
    raw: { attr: { case: 'ceBytes', value: Buffer.from('hi') } },
  },
  data: { case: 'textData', value: 'text €' },
})

test('the protobuf format is accepted, structured and in batches', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const nested = create(CloudEventSchema, {
    id: 'a-2',
    source: '/shop',
    specVersion: '1.0',
    type: 'com.shop.time',
    data: { case: 'protoData', value: anyPack(TimestampSchema, timestampFromMs(1000)) },
  })
  const bad = create(CloudEventSchema, { id: 'a-3', source: '/shop', specVersion: '1.0' })

  const one = await post(url, toBinary(CloudEventSchema, protobufEvent), '', {
    'content-type': 'application/cloudevents+protobuf',
  })
  const many = await post(
    url,
    toBinary(CloudEventBatchSchema, create(CloudEventBatchSchema, { events: [nested, bad] })),
    '',
    { 'content-type': 'application/cloudevents-batch+protobuf' },
  )

  assert.equal(one.json.accepted, 1)
  assert.equal(many.json.accepted, 1)
  assert.deepEqual(many.json.rejections, [{ index: 1, id: 'a-3', code: 'invalid_event', message: 'type is missing' }])
  const [first, second] = pipeline.events
  assert.deepEqual(
    [first?.subject, first?.timeMicros, first?.dataContentType, Buffer.from(first!.data).toString()],
    ['order/1', 1795253400123000, 'text/plain', 'text €'],
  )
  assert.deepEqual([...first!.attributes].sort(), [
    ['raw', 'aGk='],
    ['retries', '-3'],
    ['test', 'true'],
  ])
  assert.equal(second?.dataContentType, 'application/protobuf')
  assert.equal(second?.attributes.get('dataschema'), 'type.googleapis.com/google.protobuf.Timestamp')
})

test('a body that is not a valid protobuf message is 400', async (t) => {
  const { url } = await startTestServer(t)

  for (const body of [Buffer.from('not protobuf'), Buffer.alloc(100_000, 0x0b)]) {
    const answer = await post(url, body, '', { 'content-type': 'application/cloudevents+protobuf' })
    assert.deepEqual([answer.status, answer.json.field], [400, 'body'])
  }
})
