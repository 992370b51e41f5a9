// The live feed over HTTP: server-sent events and long poll, with real connections that break.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Client } from '../../src/client/connect.ts'
import { backends, inLongRun } from '../support/backend.ts'
import { isLongRun } from '../support/depth.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf, publish } from '../support/publish.ts'
import { SeededRandom } from '../support/random.ts'
import { type ServerSentEvent, serverSentEvents } from '../support/server-sent-events.ts'

const path = '/v1/events/live'

/** The numbers of a list of events. */
const numberOf = (event: { readonly data: { readonly number: number } }) => event.data.number
const upTo = (count: number) => Array.from({ length: count }, (_, number) => number)

/** Publishes so many orders, numbered from 0, in messages of ten. */
async function publishOrders(client: Client, count: number) {
  for (let at = 0; at < count; at += 10) {
    await client.publishEvents(upTo(10).map((n) => ({ type: 'order.placed', key: 'k', data: { number: at + n } })))
  }
}

/** Reads a stream to the event that the predicate is true for. */
async function readUntil(stream: AsyncIterable<ServerSentEvent>, isLast: (event: ServerSentEvent) => boolean) {
  const read: ServerSentEvent[] = []
  for await (const event of stream) {
    read.push(event)
    if (isLast(event)) return read
  }
  throw new Error(`the stream ended after ${JSON.stringify(read.at(-1))}`)
}

/** Waits until there are so many subscribers. */
function subscribed(server: InProcessServer, count: number) {
  return eventually(async () => {
    const answer = await request(server.http, '/v1/subscribers')
    assert.equal(JSON.parse(answer.text).subscribers.length, count)
    return answer
  })
}

async function startLive(t: TestContext, options: Parameters<typeof startInProcess>[1] = {}) {
  const server = await startInProcess(t, options)
  return { server, url: `http://${server.http}${path}` }
}

for (const backend of backends('embedded', ...inLongRun('redis'))) {
  test(`a stream that is cut again and again has every event once, in order (${backend.name})`, async (t) => {
    const [events, cuts] = isLongRun ? [5000, 50] : [600, 6]
    const { server } = await startLive(t, await backend.home(t))
    const proxy = await startFaultProxy(t, () => server.http)
    const random = new SeededRandom(7)
    const numbers: number[] = []
    const frames: string[] = []
    const publishing = publishOrders(clientOf(t, server), events)

    for (let lastId = '', cut = 0; numbers.length < events; cut++) {
      const passed = proxy.bytesDown
      const cutAfter = cut < cuts ? passed + 500 + Math.floor(random.next() * 30_000) : Number.POSITIVE_INFINITY
      const watch = setInterval(() => proxy.bytesDown > cutAfter && proxy.cut(), 1)
      try {
        const headers: Record<string, string> = lastId === '' ? {} : { 'last-event-id': lastId }
        for await (const { id, event, data } of serverSentEvents(`http://${proxy.address}${path}?from=earliest`, {
          headers,
        })) {
          lastId = id
          if (event === 'event') numbers.push(numberOf(JSON.parse(data)))
          else frames.push(event)
          if (numbers.length === events) break
        }
      } catch (thrown) {
        assert.ok(thrown instanceof TypeError, `${thrown}`)
      } finally {
        clearInterval(watch)
      }
    }

    await publishing
    assert.deepEqual(numbers, upTo(events))
    assert.deepEqual([...new Set(frames)], ['caught_up'])
    assert.ok(proxy.total > cuts / 2, `${proxy.total} connections`)
  })
}

test('long polls have every event once, in order, while events are published', async (t) => {
  const { server } = await startLive(t)
  const count = 1000
  const start = await request(server.http, `${path}?live=long-poll&wait=0`)
  assert.equal(start.status, 204)
  const warnings: Error[] = []
  const warn = (warning: Error) => warnings.push(warning)
  process.on('warning', warn)
  t.after(() => process.off('warning', warn))
  const numbers: number[] = []
  let [cursor, calls] = [start.headers.get('millrace-cursor')!, 0]
  const publishing = publishOrders(clientOf(t, server), count)

  for (; numbers.length < count; calls++) {
    const { status, headers, text } = await request(server.http, `${path}?live=long-poll&wait=5&from=${cursor}`)
    assert.equal(status, 200)
    const answer = JSON.parse(text)
    numbers.push(...answer.frames.flatMap((frame: { event?: never }) => (frame.event ? [numberOf(frame.event)] : [])))
    cursor = answer.cursor
    assert.equal(headers.get('millrace-cursor'), cursor)
  }

  await publishing
  assert.deepEqual(numbers, upTo(count))
  assert.ok(calls > 1, `${calls} calls`)
  assert.deepEqual(warnings, [])
})

test('what a slow stream has not got is in its gaps exactly, and can be read again', async (t) => {
  const { server, url } = await startLive(t)
  const count = 2000
  // 8 MB, more than the buffers of the connection hold.
  const padding = 'x'.repeat(4000)
  const slow = connect(Number(server.http.split(':')[1]), '127.0.0.1')
  slow.pause()
  slow.write(`GET ${path}?max_buffered_events=100&subscriber_id=slow HTTP/1.0\r\n\r\n`)
  await eventually(async () => assert.match((await request(server.http, '/v1/subscribers')).text, /"is_live":true/))
  const fast = readUntil(serverSentEvents(url), ({ data }) => data.includes('"number":1999,'))
  await subscribed(server, 2)

  const client = clientOf(t, server)
  for (let at = 0; at < count; at += 100) {
    const events = upTo(100).map((n) => ({ type: 'a', data: { number: at + n, padding } }))
    await client.publishEvents(events)
  }
  const seen = (await fast).filter(({ event }) => event === 'event')
  let text = ''
  slow.setEncoding('utf8')
  slow.on('data', (part) => {
    text += part
  })
  slow.resume()
  await eventually(() => assert.match(text, /"number":1999,/))
  slow.destroy()

  const got = [...text.matchAll(/^data: .*"number":(\d+),/gm)].map(([, number]) => Number(number))
  const gaps = [...text.matchAll(/^event: gap\ndata: (.*)$/gm)].map(([, data]) => JSON.parse(data!))
  const dropped = gaps.reduce((sum, gap) => sum + gap.dropped, 0)
  assert.equal(seen.length, count)
  assert.equal(got.length + dropped, count)
  assert.ok(dropped > 0 && gaps.every(({ reason }) => reason === 'slow'))
  // From the gap's cursors, everything is there.
  const again = readUntil(serverSentEvents(`${url}?from=${gaps[0].from}`), ({ id }) => id === gaps[0].to)
  assert.equal((await again).filter(({ event }) => event === 'event').length, gaps[0].dropped)
})

test('a stopping server tells streams and polls to come back, and waits for none that does not read', async (t) => {
  const { server, url } = await startLive(t, { env: { MILLRACE_DRAIN_MS: '30000' } })
  const stuck = connect(Number(server.http.split(':')[1]), '127.0.0.1')
  stuck.on('error', () => {})
  stuck.pause()
  stuck.write(`GET ${path}?subscriber_id=stuck HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await subscribed(server, 1)
  const data = 'x'.repeat(500_000)
  const client = clientOf(t, server)
  for (let n = 0; n < 24; n++) await client.publishEvents([{ type: 'large', data }])
  await eventually(async () => assert.doesNotMatch((await subscribed(server, 1)).text, /"buffered_events":0/))
  const stream = readUntil(serverSentEvents(url), ({ event }) => event === 'reconnect')
  const poll = request(server.http, `${path}?live=long-poll&wait=60`, { signal: AbortSignal.timeout(20_000) })
  await subscribed(server, 3)

  const startedAt = performance.now()
  await server.stop()

  assert.ok(performance.now() - startedAt < 15_000, `${performance.now() - startedAt} ms`)
  const last = (await stream).at(-1)!
  assert.ok(JSON.parse(last.data).after_ms >= 0)
  const { frames } = JSON.parse((await poll).text)
  assert.deepEqual(Object.keys(frames.at(-1)), ['reconnect'])
})

test('what a query asks for is refused by the name of its parameter, or begins with a gap', async (t) => {
  const { server, url } = await startLive(t, { topics: ['orders'] })
  await publish(server, 'events', orders(1))
  await publish(server, 'orders', orders(1))
  const poll = async (query: string) => {
    const { status, text } = await request(server.http, `${path}?live=long-poll&wait=0&${query}`)
    return { status, body: text === '' ? null : JSON.parse(text) }
  }
  const cursor = (await poll('topic=orders&from=earliest')).body.cursor

  const bad = {
    'type=': 'type',
    [`source=${'x'.repeat(1025)}`]: 'source',
    'attribute.=1': 'attribute',
    'subscriber_id=a/b': 'subscriber_id',
    'max_buffered_events=0': 'max_buffered_events',
    'max_buffered_events=10000000': 'max_buffered_events',
    'from=2199-01-01T00:00:00Z': 'from',
    'from=2026-13-01T00:00:00Z': 'from',
    'from=garbage': 'from',
    [`from=${cursor}`]: 'from',
    [`from=${cursor.slice(0, -1)}!&topic=orders`]: 'from',
  }
  for (const [query, field] of Object.entries(bad)) {
    const { status, body } = await poll(query)
    assert.deepEqual([status, body.code, body.field], [400, 'invalid_event', field], query)
  }
  assert.match(
    (await poll('max_buffered_events=10000000000')).body.detail,
    /max_buffered_events is 10000000000; it must be a whole number/,
  )
  assert.equal((await poll('topic=unknown')).status, 404)
  const old = await poll('from=2001-01-01T00:00:00Z')
  assert.deepEqual([old.status, old.body.frames.length], [200, 2])

  const ended = readUntil(serverSentEvents(`${url}?subscriber_id=me`), ({ event }) => event === 'problem')
  await eventually(async () => assert.match((await request(server.http, '/v1/subscribers')).text, /"me"/))
  const second = connect(Number(server.http.split(':')[1]), '127.0.0.1')
  second.write(`GET ${path}?subscriber_id=me HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const [head] = await once(second, 'data')
  assert.match(String(head), /^HTTP\/1\.1 200/)
  const problem = JSON.parse((await ended).at(-1)!.data)
  assert.deepEqual([problem.code, problem.status], ['failed_precondition', 409])
  second.destroy()
})
