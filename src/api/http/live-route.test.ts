import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { MillraceError } from '../../errors.ts'
import { receivedEventLength, writeReceivedEvent } from '../../event/received-event.ts'
import type { EventParts } from '../../event/record-batch.ts'
import { EventReader, encodeBatch } from '../../event/record-batch.ts'
import type { LiveEvent, LiveFrame } from '../../pipeline/live.ts'
import { eventually } from '../eventually.test-support.ts'
import { ask, post, speak, speakAndEnd, startTestServer, type TestHttpServer } from './http-client.test-support.ts'

const path = '/v1/events/live'

const receivedAtMicros = Date.parse('2026-11-21T09:30:00Z') * 1000

/** An event as the feed has it. Counts how often its bytes are read. */
class CountedEvent implements LiveEvent {
  reads = 0
  text: string | null = null
  readonly cursor: string
  readonly #bytes: Buffer

  constructor(cursor: string, parts: Partial<EventParts> = {}) {
    this.cursor = cursor
    const batch = encodeBatch([{ id: cursor, type: 'order.paid', ...parts }])
    const reader = new EventReader().reset(batch)
    reader.next()
    this.#bytes = Buffer.alloc(receivedEventLength(reader.fields.end - reader.fields.start, receivedAtMicros))
    writeReceivedEvent(this.#bytes, 0, batch.subarray(reader.fields.start, reader.fields.end), receivedAtMicros)
  }

  get bytes(): Uint8Array {
    this.reads++
    return this.#bytes
  }
}

const eventsOf = (events: readonly LiveEvent[], sharedBy: object | null = null): LiveFrame => ({
  ...{ is: 'events', cursor: events.at(-1)!.cursor, events, sharedBy },
})
const otherFrames: readonly LiveFrame[] = [
  { is: 'caught_up', cursor: 'c2' },
  { is: 'gap', cursor: 'c3', dropped: 7, from: 'c2', to: 'c3', reason: 'slow' },
  { is: 'gap', cursor: 'c4', dropped: null, from: 'c3', to: 'c4', reason: 'trimmed' },
  { is: 'progress', cursor: 'c5' },
  { is: 'reconnect', cursor: 'c6', afterMs: 700 },
]
const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4)

test('a stream has each frame as a server-sent event, with the cursor behind it as its id', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  const data = Buffer.from('{"a":1,\r\n"b":"x"}')
  pipeline.live.firstFrames = [eventsOf([new CountedEvent('c1', { data, source: '/shop' })]), ...otherFrames, null]

  const answer = await speak(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)

  const [head = ''] = answer.split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n/)
  for (const line of [
    'content-type: text/event-stream',
    'cache-control: no-store',
    'x-accel-buffering: no',
    'millrace-cursor: start',
    'millrace-subscriber-id: s-0',
    'x-content-type-options: nosniff',
    'connection: close',
  ])
    assert.ok(`${head.toLowerCase()}\r\n`.includes(`\r\n${line}\r\n`), `${line} in ${head}`)
  assert.doesNotMatch(head, /transfer-encoding|content-encoding|content-length/i)
  const lines = bodyOf(answer).split('\n')
  const at = lines.findIndex((line) => line.startsWith('data: {"event_id"'))
  assert.match(lines[at]!, /^data: \{"event_id":.*"source":"\/shop","type":"order.paid",.*"data":\{"a":1,$/)
  assert.deepEqual(lines.toSpliced(at, 1, 'data: …'), [
    'retry: 2000',
    ': connected',
    '',
    'id: c1',
    'event: event',
    'data: …',
    'data: "b":"x"}}',
    '',
    'id: c2',
    'event: caught_up',
    'data: {}',
    '',
    'id: c3',
    'event: gap',
    'data: {"dropped":7,"from":"c2","to":"c3","reason":"slow"}',
    '',
    'id: c4',
    'event: gap',
    'data: {"dropped":null,"from":"c3","to":"c4","reason":"trimmed"}',
    '',
    'id: c5',
    '',
    'id: c6',
    'retry: 700',
    'event: reconnect',
    'data: {"after_ms":700}',
    '',
    '',
  ])
})

test('an event on the live feed has the members that the listing gives it', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const event = {
    id: 'x-1',
    type: 'photo',
    source: '/s',
    subject: 'n',
    key: 'k',
    priority: 'high',
    attributes: { a: 'b' },
  }
  await post(url, {
    ...event,
    data_base64: '/9j/4A==',
    data_content_type: 'image/jpeg',
    time: '2026-11-21T09:30:00.5Z',
  })
  const { topic: _, receivedAtMicros: __, ...kept } = pipeline.events[0]!
  pipeline.live.firstFrames = [eventsOf([new CountedEvent('c1', kept)])]

  const polled = JSON.parse((await ask(`${url}${path}?live=long-poll`)).text)
  const listed = (await ask(`${url}/v1/events`)).json.events[0]

  assert.deepEqual(polled.frames[0].event, { ...listed, received_at: '2026-11-21T09:30:00.000000Z' })
})

test('an event is encoded once for all subscribers, in shared frames and in others', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const shared = [new CountedEvent('c1'), new CountedEvent('c2')]
  const alone = new CountedEvent('c3')
  const key = {}
  pipeline.live.firstFrames = [eventsOf(shared, key), eventsOf([alone]), null]

  const answers = await Promise.all([1, 2, 3].map(() => ask(`${url}${path}`)))

  assert.deepEqual([shared[0]!.reads, shared[1]!.reads, alone.reads], [1, 1, 1])
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1)
  assert.deepEqual(
    [...answers[0]!.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id),
    ['c1', 'c2', 'c3'],
  )
})

/** A client of a stream of 30 MB that reads nothing, and its subscription, which is asked for no more. */
async function stuckClient({ port, pipeline }: TestHttpServer) {
  const data = Buffer.from(JSON.stringify('x'.repeat(500_000)))
  const frames = Array.from({ length: 60 }, (_, n) => eventsOf([new CountedEvent(`c${n}`, { data })]))
  pipeline.live.firstFrames = [...frames, null]
  const client = connect(port, '127.0.0.1')
  client.pause()
  client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await eventually(() => (pipeline.live.subscriptions[0]?.asked ?? 0) > 1)
  const subscription = pipeline.live.subscriptions[0]!
  // All of the 30 MB would have been asked for at once.
  let [asked, unchanged] = [0, 0]
  await eventually(() => {
    unchanged = subscription.asked === asked ? unchanged + 1 : 0
    asked = subscription.asked
    return unchanged === 20
  })
  assert.ok(asked < 40, `${asked} frames were asked for`)
  return { client, subscription }
}

test('a client that does not read is asked for no more frames, and goes on when it reads', async (t) => {
  const { client, subscription } = await stuckClient(await startTestServer(t))

  let received = 0
  client.on('data', (bytes) => {
    received += bytes.length
  })
  client.resume()
  await once(client, 'close')

  assert.equal(subscription.asked, 61)
  assert.ok(received > 60 * 500_000)
})

test('a stopping server makes nothing more for a client that does not read, and does not wait for it', async (t) => {
  const server = await startTestServer(t)
  const { client, subscription } = await stuckClient(server)
  const { asked } = subscription
  const startedAt = performance.now()

  await server.drain(30_000)
  await eventually(() => subscription.isClosed)

  assert.ok(performance.now() - startedAt < 10_000, `it took ${performance.now() - startedAt} ms`)
  assert.ok(subscription.asked <= asked + 1, `${subscription.asked - asked} frames were asked for`)
  client.destroy()
})

test('a silent stream gets comments', async (t) => {
  const { port } = await startTestServer(t, { times: { maxSilenceMs: 30 } })
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  client.setEncoding('latin1')
  let received = ''
  client.on('data', (text) => {
    received += text
  })
  client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)

  await eventually(() => received.endsWith(': connected\n\n:\n\n:\n\n:\n\n'))
})

test('the end of the connection, or of the side of the client, ends the subscription', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  const { subscriptions } = pipeline.live

  const half = await speakAndEnd(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const reset = connect(port, '127.0.0.1')
  reset.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await once(reset, 'data')
  reset.resetAndDestroy()
  const polling = connect(port, '127.0.0.1')
  polling.write(`GET ${path}?live=long-poll&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await eventually(() => subscriptions.length === 3)
  polling.resetAndDestroy()

  await eventually(() => subscriptions.every(({ isClosed }) => isClosed))
  assert.match(half, /: connected\n\n$/)
})

test('a subscription that fails says why in its last event, and in the log', async (t) => {
  const { url, pipeline, log } = await startTestServer(t)
  const replaced = new MillraceError('cancelled', 'another subscription took the id')
  pipeline.live.firstFrames = [eventsOf([new CountedEvent('c1')]), replaced]

  const { text } = await ask(`${url}${path}`)
  const polled = await ask(`${url}${path}?live=long-poll`)

  const [, problem = ''] = /\n\nevent: problem\ndata: (.*)\n\n$/.exec(text) ?? []
  assert.deepEqual([JSON.parse(problem).code, JSON.parse(problem).status], ['failed_precondition', 409])
  assert.deepEqual([polled.status, polled.json.code], [409, 'failed_precondition'])
  await eventually(() => log.lines.length === 2)
  assert.deepEqual(
    log.lines.map(({ status, code }) => [status, code]),
    [
      [200, 'failed_precondition'],
      [409, 'failed_precondition'],
    ],
  )
})

test('HTTP/1.0 gets the stream too, and HEAD subscribes to nothing', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  pipeline.live.firstFrames = [eventsOf([new CountedEvent('c1')]), null]

  const old = await speak(port, `GET ${path} HTTP/1.0\r\n\r\n`)
  const head = await speak(port, `HEAD ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)

  assert.match(old, /\nid: c1\nevent: event\ndata: \{.*\}\n\n$/)
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\ncontent-type: text\/event-stream\r\n[\s\S]*\r\n\r\n$/i)
  assert.equal(pipeline.live.subscriptions.length, 1)
})

test('a long poll answers with what comes together, and with 204 when nothing comes', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const { live } = pipeline
  const poll = (query: string) => ask(`${url}${path}?live=long-poll&${query}`)
  live.firstFrames = [{ is: 'caught_up', cursor: 'c0' }]

  const later = poll('wait=60')
  await eventually(() => live.subscriptions[0]?.asked === 2)
  live.subscriptions[0]!.push(eventsOf([new CountedEvent('c1'), new CountedEvent('c2')]), otherFrames[1]!)
  const { status, text, headers } = await later

  const { frames, cursor } = JSON.parse(text)
  assert.deepEqual([status, cursor, headers.get('millrace-cursor')], [200, 'c3', 'c3'])
  assert.deepEqual(
    frames.map((frame: Record<string, { id?: string; dropped?: number }>) => {
      const [[is, content] = ['', {}]] = Object.entries(frame)
      return [is, content.id ?? content.dropped]
    }),
    [
      ['caught_up', undefined],
      ['event', 'c1'],
      ['event', 'c2'],
      ['gap', 7],
    ],
  )
  const nothing = await poll('wait=0')
  assert.deepEqual([nothing.status, nothing.text, nothing.headers.get('millrace-cursor')], [204, '', 'c0'])
  live.firstFrames = [{ is: 'progress', cursor: 'c9' }, otherFrames[4]!]
  assert.deepEqual(JSON.parse((await poll('wait=60')).text), {
    frames: [{ reconnect: { after_ms: 700 } }],
    cursor: 'c6',
  })
  assert.ok(live.subscriptions.every(({ isClosed }) => isClosed))
})

test('a long poll does not wait for events that come one after the other without end', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  let answers = 0
  const polling = ask(`${url}${path}?live=long-poll&wait=1`).finally(() => answers++)
  await eventually(() => pipeline.live.subscriptions.length === 1)
  let pushed = 0
  const push = () => pipeline.live.subscriptions[0]!.push(eventsOf([new CountedEvent(`c${pushed++}`)]))
  const pushing = setInterval(push, 2)
  t.after(() => clearInterval(pushing))
  await eventually(() => answers === 1 || pushed > 1000)

  assert.equal(answers, 1)
  assert.equal((await polling).status, 200)
})

test('the query reaches the feed, and the last event id wins over from', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  pipeline.live.firstFrames = [null]
  const query =
    'topic=orders&type=a.*&type=b&source=/s&subject=x&subject=y&attribute.tenant=t%201&attribute.a.b=2&from=earliest&subscriber_id=me&max_buffered_events=10&on_slow=latest_per_key'

  await ask(`${url}${path}?${query}`)
  await ask(`${url}${path}?from=2026-11-21T09:30:00+01:00`)
  await ask(`${url}${path}?from=now&last_event_id=c1`)
  await ask(`${url}${path}?from=now&last_event_id=c1`, { headers: { 'last-event-id': 'c2' } })

  const [full, ...others] = pipeline.live.subscriptions.map((subscription) => subscription.query)
  assert.deepEqual(full, {
    subscriberId: 'me',
    topic: 'orders',
    types: ['a.*', 'b'],
    sources: ['/s'],
    subjects: ['x', 'y'],
    attributes: new Map([
      ['tenant', 't 1'],
      ['a.b', '2'],
    ]),
    from: 'earliest',
    maxBufferedEvents: 10,
    onSlow: 'latest_per_key',
  })
  assert.deepEqual(
    others.map(({ from }) => from),
    ['2026-11-21T09:30:00+01:00', 'c1', 'c2'],
  )
})

test('bad parameters are refused before the stream begins, each by its name', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const bad = {
    'types=a': 'types',
    'topic=No': 'topic',
    'topic=a&topic=b': 'topic',
    'attribute.a=1&attribute.a=2': 'attribute.a',
    'max_buffered_events=many': 'max_buffered_events',
    'max_buffered_events=-1': 'max_buffered_events',
    'on_slow=wait': 'on_slow',
    'live=websocket': 'live',
    'wait=5': 'wait',
    'live=long-poll&wait=61': 'wait',
    'live=long-poll&wait=1.5': 'wait',
  }
  for (const [query, field] of Object.entries(bad)) {
    const { status, json, headers } = await ask(`${url}${path}?${query}`)
    assert.deepEqual([status, json.code, json.field], [400, 'invalid_event', field], query)
    assert.equal(headers.get('content-type'), 'application/problem+json')
  }
  pipeline.live.failure = new MillraceError('not_found', 'there is no topic orders', { field: 'topic' })
  assert.equal((await ask(`${url}${path}?topic=orders`)).status, 404)
  pipeline.live.failure = new MillraceError('draining', 'the server is stopping')
  const draining = await ask(`${url}${path}?live=long-poll`)
  assert.deepEqual([draining.status, draining.headers.get('retry-after')], [503, '1'])
  assert.equal(pipeline.live.subscriptions.length, 0)
})

test('subscribers are listed by id, in pages', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const common = { topic: 'events', sinceMs: 1_795_254_600_000, isLive: true, lagEvents: null, bufferedEvents: 1 }
  const counts = { bufferedBytes: 2, sentEvents: 3, droppedEvents: null }
  pipeline.live.statuses = ['b', 'a', 'c'].map((subscriberId) => ({ subscriberId, ...common, ...counts }))

  const first = JSON.parse((await ask(`${url}/v1/subscribers?limit=2`)).text)
  const rest = JSON.parse((await ask(`${url}/v1/subscribers?limit=2&cursor=${first.next_cursor}`)).text)

  const ids = (page: typeof first) =>
    page.subscribers.map(({ subscriber_id }: { subscriber_id: string }) => subscriber_id)
  assert.deepEqual([ids(first), ids(rest), rest.next_cursor], [['a', 'b'], ['c'], null])
  assert.deepEqual(first.subscribers[0], {
    subscriber_id: 'a',
    topic: 'events',
    since: '2026-11-21T09:50:00.000000Z',
    is_live: true,
    lag_events: null,
    buffered_events: 1,
    buffered_bytes: 2,
    sent_events: 3,
    dropped_events: null,
  })
})

test('the first page of a listing says from where to follow what it does not have', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  await post(url, [{ type: 'a' }, { type: 'b' }])
  const page = async (query: string) => JSON.parse((await ask(`${url}/v1/events?${query}`)).text)

  const first = await page('limit=1')

  assert.equal(first.live_cursor, 'landed-events')
  assert.equal((await page(`limit=1&cursor=${first.next_cursor}`)).live_cursor, null)
  assert.equal((await page('topic=orders')).live_cursor, 'landed-orders')
  pipeline.live.landedCursor = () => Promise.reject(new MillraceError('unavailable', 'the log is away'))
  const without = await page('limit=1')
  assert.deepEqual([without.events.length, without.live_cursor], [1, null])
})
