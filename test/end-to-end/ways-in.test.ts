import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { CloudEventSchema } from '../../src/gen/io/cloudevents/v1/cloudevents_pb.ts'
import { Priority } from '../../src/gen/millrace/v1/event_pb.ts'
import { Durability, PublishStreamStatus } from '../../src/gen/millrace/v1/ingest_pb.ts'
import { formatRfc3339 } from '../../src/lib/rfc3339.ts'
import { backends } from '../support/backend.ts'
import { newId, type TestEvent } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { type EventBody, listEvents, type PublishBody, postEvents, request } from '../support/http-client.ts'
import { rowKeys } from '../support/identity.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf, eventInput } from '../support/publish.ts'
import { drained } from '../support/tally.ts'

const both = backends('embedded', 'redis')

/** Odd on purpose: spaces, numbers over 2^53, exponents, duplicate keys, four-byte characters. None may change. */
const dataText =
  '{ "n" : 12345678901234567890, "x":1e-7,"x":2, "text": "€😀\\ud83d\\ude00\\/", "numbers":[1.50,1.50E3,-0,1e-7], "b": [ ] }'
const data = Buffer.from(dataText)
/** PostgreSQL keeps the value, not its spelling (docs/tables.md). */
const normalizedText =
  '{"b": [], "n": 12345678901234567890, "x": 2, "text": "€😀😀/", "numbers": [1.50, 1500, 0, 0.0000001]}'
const time = '2024-02-29T23:59:59.123456Z'
const timeMicros = Date.parse('2024-02-29T23:59:59.123Z') * 1000 + 456

/** One event with every field set, and the expected content of its row. */
const full = {
  source: '/shop/€',
  type: 'order.placed',
  subject: 'order 7',
  time: { seconds: BigInt(Math.floor(timeMicros / 1e6)), nanos: 123_456_000 },
  data,
  dataContentType: 'application/json',
  priority: Priority.HIGH,
  key: 'customer {7}',
  attributes: { region: 'eu', sequence: '0042' },
} satisfies TestEvent

const plainJson = (id: string): string =>
  `{"id":"${id}","source":"/shop/€","type":"order.placed","subject":"order 7","time":"${time}","data":${dataText},` +
  '"data_content_type":"application/json","priority":"high","key":"customer {7}",' +
  '"attributes":{"region":"eu","sequence":"0042"}}'

const cloudEvent = (id: string): string =>
  `{"specversion":"1.0","id":"${id}","source":"/shop/€","type":"order.placed","subject":"order 7","time":"${time}",` +
  `"datacontenttype":"application/json","data":${dataText},"partitionkey":"customer {7}","priority":"high",` +
  '"region":"eu","sequence":"0042"}'

const cloudEventHeaders = (id: string): Record<string, string> => ({
  'ce-specversion': '1.0',
  'ce-id': id,
  'ce-source': '/shop/%E2%82%AC',
  'ce-type': 'order.placed',
  'ce-subject': '"order 7"',
  'ce-time': time,
  'ce-partitionkey': 'customer%20%7B7%7d',
  'ce-priority': 'high',
  'ce-region': 'eu',
  'ce-sequence': '0042',
})

for (const backend of both)
  test(`an event becomes one row with every field as it was sent, through every protocol and format (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const isText = home.postgresUrl === null
    const { durability: reached } = backend
    const reachedCode = reached === 'disk' ? Durability.DISK : Durability.BROKER
    const server = await startInProcess(t, home)
    const grpc = grpcClient(t, server)
    const client = clientOf(t, server)

    const post = async (
      body: string | Buffer,
      contentType: string,
      headers: Record<string, string> = {},
    ): Promise<void> => {
      const answer = await postEvents(server.http, body, { contentType, headers })
      assert.equal(answer.status, 202, answer.text)
      const { accepted, dropped, rejections, durability } = JSON.parse(answer.text) as PublishBody
      assert.deepEqual(
        { accepted, dropped, rejections, durability },
        { accepted: 1, dropped: 0, rejections: [], durability: reached },
      )
    }

    const ways: Record<string, (id: string) => Promise<void>> = {
      'gRPC Publish': async (id) => {
        const answer = await grpc.publish({ events: [{ ...full, id }] })
        assert.deepEqual([answer.accepted, answer.durability], [1n, reachedCode])
      },
      'gRPC PublishStream': async (id) => {
        const stream = grpc.publishStream()
        await stream.send({ events: [{ ...full, id }] })
        stream.call.end()
        const { received, accepted, status, durability } = await stream.summary
        assert.deepEqual([received, accepted, status], [1n, 1n, PublishStreamStatus.ALL_ACCEPTED])
        assert.equal(durability, reachedCode)
      },
      'gRPC Produce': async (id) => {
        const produce = grpc.produce()
        await produce.send({ producerId: `p-${id}`, sequence: 1, events: [{ ...full, id }] })
        await eventually(() => assert.equal(produce.responses.at(-1)?.ackedThrough, 1n))
        assert.equal(produce.responses[0]?.durability, reachedCode)
        produce.call.end()
        assert.equal((await produce.ended).code, 0)
      },
      'the client': async (id) => {
        const verdict = await client.publishEvents([eventInput({ ...full, id })])
        assert.deepEqual(verdict, { accepted: 1, dropped: 0, rejections: [], durability: reached })
      },
      JSON: (id) => post(plainJson(id), 'application/json; charset=utf-8'),
      'a JSON array': (id) => post(` [ ${plainJson(id)} ] `, 'application/json'),
      NDJSON: (id) => post(`${plainJson(id)}\n`, 'application/x-ndjson'),
      'a structured CloudEvent': (id) => post(cloudEvent(id), 'Application/CloudEvents+JSON; charset=utf-8'),
      'a batch of CloudEvents': (id) => post(`[${cloudEvent(id)}]`, 'application/cloudevents-batch+json'),
      'a binary CloudEvent': (id) => post(data, 'application/json', cloudEventHeaders(id)),
    }

    const ids = new Map<string, string>()
    for (const [way, send] of Object.entries(ways)) {
      const id = newId()
      ids.set(way, id)
      await t.test(way, () => send(id))
    }
    await drained(server)

    const rows = await home.query(
      `SELECT event_id, id, source, type, subject, time, topic, priority, key, data, data_bytes, data_content_type,
      attributes, stream_topic, lane, received_at FROM landed`,
    )
    assert.equal(rows.length, ids.size)
    for (const [way, id] of ids) {
      await t.test(`the row that came by ${way}`, () => {
        const row = rows.find((candidate) => candidate.event_id === id.replaceAll('-', ''))
        assert.ok(row, 'there is no row under its id')
        const { received_at: receivedAt, attributes, ...rest } = row
        assert.deepEqual(rest, {
          event_id: id.replaceAll('-', ''),
          id: null,
          source: '/shop/€',
          type: 'order.placed',
          subject: 'order 7',
          time: timeMicros,
          topic: 'events',
          priority: 3,
          key: 'customer {7}',
          data: isText ? dataText : normalizedText,
          data_bytes: null,
          data_content_type: 'application/json',
          stream_topic: 'events',
          lane: 'high',
        })
        assert.deepEqual(JSON.parse(String(attributes)), { region: 'eu', sequence: '0042' })
        assert.ok(Math.abs(Number(receivedAt) / 1000 - Date.now()) < 60_000, 'received_at is the time of receipt')
      })
    }

    await t.test('reading the events over HTTP returns the same', async () => {
      const { status, text } = await request(server.http, '/v1/events?limit=1000')
      assert.equal(status, 200)
      const { events, next_cursor: nextCursor } = JSON.parse(text) as { events: EventBody[]; next_cursor: null }
      assert.equal(nextCursor, null)
      assert.deepEqual(new Set(events.map((event) => event.event_id)), new Set(ids.values()))
      assert.equal(
        text.split(isText ? dataText : normalizedText).length - 1,
        ids.size,
        'the data is the same as in the row',
      )
      for (const { event_id: eventId, id, received_at: receivedAt, data: _, ...event } of events) {
        assert.equal(id, eventId)
        assert.match(receivedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
        assert.equal(Date.parse(event.time), Math.floor(timeMicros / 1000))
        assert.match(event.time, /59\.123456Z$/)
        assert.deepEqual(
          { ...event, time: '' },
          {
            source: '/shop/€',
            type: 'order.placed',
            subject: 'order 7',
            time: '',
            topic: 'events',
            priority: 'high',
            key: 'customer {7}',
            data_content_type: 'application/json',
            attributes: { region: 'eu', sequence: '0042' },
          },
        )
      }
    })
  })

const outerTimes = [
  ['0001-01-01T00:00:00.000001Z', -62_135_596_800n, 1],
  ['1683-11-21T06:30:00.654321Z', -9_028_776_600n, 654_321],
  ['1699-12-31T23:59:59.999999Z', -8_520_336_001n, 999_999],
  ['2255-06-06T12:00:00.000001Z', 9_007_243_200n, 1],
  ['9999-12-31T23:59:59.999999Z', 253_402_300_799n, 999_999],
] as const

for (const backend of both)
  test(`times far from now keep every microsecond on every way in and out (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const grpc = grpcClient(t, server)
    const client = clientOf(t, server)
    const timeOfId = new Map<string, string>()
    const idFor = (text: string): string => {
      const id = newId()
      timeOfId.set(id, text)
      return id
    }

    for (const [text, seconds, micros] of outerTimes) {
      const event = (): TestEvent => ({ id: idFor(text), type: 'far', time: { seconds, nanos: micros * 1000 } })
      assert.equal((await grpc.publish({ events: [event()] })).accepted, 1n)
      await client.publishEvents([eventInput(event())])
      const plain = JSON.stringify({ id: idFor(text), type: 'far', time: text })
      assert.equal((await postEvents(server.http, plain)).status, 202, text)
      const required = { 'ce-specversion': '1.0', 'ce-source': '/', 'ce-type': 'far', 'ce-time': text }
      const binary = await postEvents(server.http, '1', { headers: { ...required, 'ce-id': idFor(text) } })
      assert.equal(binary.status, 202, binary.text)
      const extension = { attr: { case: 'ceTimestamp', value: { seconds, nanos: micros * 1000 } } } as const
      const cloudEvent = create(CloudEventSchema, {
        id: idFor(text),
        source: '/',
        specVersion: '1.0',
        type: 'far',
        attributes: { time: extension },
      })
      const contentType = 'application/cloudevents+protobuf'
      const structured = await postEvents(server.http, toBinary(CloudEventSchema, cloudEvent), { contentType })
      assert.equal(structured.status, 202, structured.text)
    }
    const past = await postEvents(server.http, '{"type":"far","time":"9999-12-31T23:59:59.999999-00:01"}')
    assert.match(past.text, /years 1 to 9999/)
    await drained(server)

    const { events } = await listEvents(server.http, 'limit=1000')
    assert.deepEqual(new Map(events.map(({ id, time: read }) => [id, read])), timeOfId)
    const whole = 'since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59.999999Z'
    assert.equal((await listEvents(server.http, `limit=1000&${whole}`)).events.length, events.length)
    for (const [id, text] of timeOfId) {
      const { event } = await client.administration.journey({ id })
      assert.equal(formatRfc3339(event.timeMicros), text, 'the journey over gRPC')
    }
  })

for (const backend of both)
  test(`omitted fields are filled in as documented, and data that is not JSON stays bytes (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, { ...home, topics: ['metrics.cpu:4'] })
    const grpc = grpcClient(t, server)
    const bytes = Buffer.from([0, 255, 0xc3, 0x28, 10, 13])

    await grpc.publish({ topic: 'metrics.cpu', events: [{ type: 'bare' }] })
    await grpc.publish({ events: [{ type: 'binary', id: 'Order-1', data: bytes, dataContentType: 'image/png' }] })
    const base64 = JSON.stringify({
      type: 'binary',
      id: 'order-1',
      data_base64: bytes.toString('base64'),
      data_content_type: 'image/png',
    })
    assert.equal((await postEvents(server.http, base64)).status, 202)
    const beforeMs = Date.now()
    const bare = await postEvents(server.http, '{"type":"bare.http","data":null}', { query: 'topic=metrics.cpu' })
    assert.equal(bare.status, 202)
    await drained(server)

    const rows = await home.query('SELECT *, event_id AS key_hex FROM landed')
    const rowOf = (type: string, id?: string): Record<string, unknown> => {
      const found = rows.filter((row) => row.type === type && (id === undefined || row.id === id))
      assert.equal(found.length, 1, `${type} ${id}`)
      return found[0] as Record<string, unknown>
    }
    for (const type of ['bare', 'bare.http']) {
      const row = rowOf(type)
      assert.deepEqual(
        [row.id, row.source, row.topic, row.priority, row.data_content_type, row.data_bytes],
        [null, '/', 'metrics.cpu', 2, 'application/json', null],
      )
      assert.match(String(row.key_hex), /^.{12}7/, 'an id that the server assigns is a UUIDv7')
      assert.equal(row.time, row.received_at, 'an omitted time is the time of receipt')
    }
    assert.equal(rowOf('bare').data, null)
    assert.equal(rowOf('bare.http').data, 'null')
    assert.ok(Number(rowOf('bare.http').received_at) >= beforeMs * 1000)
    for (const id of ['Order-1', 'order-1']) {
      const row = rowOf('binary', id)
      assert.deepEqual([row.data, Buffer.from(row.data_bytes as Uint8Array)], [null, bytes])
      assert.equal(
        row.key_hex,
        rowKeys('/', id)[0],
        'an id that is not a UUID: its row key is the UUIDv5 of source and id',
      )
    }
  })

for (const backend of both)
  test(`CloudEvents headers are decoded once, and binary data stays binary in every mode (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const send = async (headers: Record<string, string>, body: string | Buffer = 'x'): Promise<number> => {
      const required = { 'ce-specversion': '1.0', 'ce-id': newId(), 'ce-source': '/ce', 'ce-type': 'ce.test' }
      return (await postEvents(server.http, body, { contentType: 'text/plain', headers: { ...required, ...headers } }))
        .status
    }
    assert.equal(await send({ 'ce-subject': '%E2%82%AC%F0%9F%98%80' }), 202)
    assert.equal(await send({ 'ce-subject': '%2520' }), 202)
    assert.equal(await send({ 'ce-subject': '"a\\"b"' }), 202)
    assert.equal(await send({ 'ce-subject': 'a%22b%e2%82%ac' }), 202)
    assert.equal(await send({ 'ce-subject': '%C0%A0' }), 400, 'an escape that is not UTF-8 is refused')
    assert.equal(await send({ 'ce-specversion': '0.3' }), 400)
    assert.equal(await send({ 'ce-priority': 'urgent' }), 202)
    const partly = await postEvents(server.http, '{}', { headers: { 'ce-id': 'x', 'ce-specversion': '1.0' } })
    assert.equal(partly.status, 400, 'some of the required headers, but not all')
    const unknownFormat = await postEvents(server.http, '<e/>', { contentType: 'application/cloudevents+xml' })
    assert.equal(unknownFormat.status, 415)
    const both = { specversion: '1.0', id: newId(), source: '/ce', type: 'ce.both', data: 1, data_base64: 'eA==' }
    const refused = await postEvents(server.http, JSON.stringify(both), { contentType: 'application/cloudevents+json' })
    assert.equal(refused.status, 400, 'data and data_base64 together')
    const structured = { specversion: '1.0', id: newId(), source: '/ce', type: 'ce.base64', data_base64: '//79' }
    const more = { datacontenttype: 'application/octet-stream', dataschema: 'http://example.com/schema' }
    const answer = await postEvents(server.http, JSON.stringify({ ...structured, ...more }), {
      contentType: 'application/cloudevents+json',
    })
    assert.equal(answer.status, 202, answer.text)
    await drained(server)

    const subjects = await home.query(`SELECT subject FROM landed WHERE type = 'ce.test' AND subject IS NOT NULL`)
    assert.deepEqual(new Set(subjects.map((row) => row.subject)), new Set(['€😀', '%20', 'a"b', 'a"b€']))
    const [urgent] = await home.query(`SELECT priority, attributes FROM landed WHERE attributes LIKE '%urgent%'`)
    assert.deepEqual([urgent?.priority, JSON.parse(String(urgent?.attributes))], [2, { priority: 'urgent' }])
    const [binary] = await home.query(`SELECT data, data_bytes, attributes FROM landed WHERE type = 'ce.base64'`)
    assert.deepEqual(Buffer.from(binary?.data_bytes as Uint8Array), Buffer.from([0xff, 0xfe, 0xfd]))
    assert.deepEqual(JSON.parse(String(binary?.attributes)), { dataschema: 'http://example.com/schema' })
  })
