// The live feed over gRPC: subscribers of the product's client, of a raw client, and `millrace tail`.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { startMillrace } from '../../src/cli/run-millrace.test-support.ts'
import { type Client, connect, type LiveItem, type SubscribeOptions } from '../../src/index.ts'
import { backends, postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { RedisServer } from '../support/redis-server.ts'
import { runCommand } from '../support/run-command.ts'
import { inherited, serverEnvironment } from '../support/server-process.ts'

/** For what takes work, on a busy machine. */
const patient = { withinMs: 30_000 }

const keys = 7
const keyOf = (number: number) => `key-${number % keys}`

/** Orders with numbers from `first` on. */
function ordersOf(first: number, count: number, pad = 0) {
  return Array.from({ length: count }, (_, index) => {
    const number = first + index
    return { id: `order-${number}`, type: 'order.placed', key: keyOf(number), data: { number, pad: 'x'.repeat(pad) } }
  })
}

type EventItem = Extract<LiveItem, { is: 'event' }>

class Following {
  readonly items: LiveItem[] = []
  readonly ended: Promise<void>

  constructor(
    t: TestContext,
    client: Client,
    options: SubscribeOptions,
    onItem: () => Promise<void> | void = () => {},
  ) {
    const stop = new AbortController()
    this.ended = this.#follow(client.subscribe({ signal: stop.signal, ...options }), onItem)
    this.ended.catch(() => {})
    cleanup(t, async () => {
      stop.abort()
      await this.ended.catch(() => {})
    })
  }

  async #follow(items: AsyncIterable<LiveItem>, onItem: () => Promise<void> | void): Promise<void> {
    for await (const item of items) {
      this.items.push(item)
      await onItem()
    }
  }

  get events(): EventItem[] {
    return this.items.filter((item) => item.is === 'event')
  }

  get numbers(): number[] {
    return this.events.map(({ event }) => (event.json() as { number: number }).number)
  }

  get gaps() {
    return this.items.filter((item) => item.is === 'gap')
  }

  get dropped(): number {
    return this.gaps.reduce((sum, { dropped }) => sum + dropped!, 0)
  }

  get isConnected(): boolean {
    return this.items.findLast(({ is }) => is === 'connected' || is === 'disconnected')?.is === 'connected'
  }
}

/** Resolves when it follows: what is accepted from now on comes to it. */
async function follow(
  t: TestContext,
  client: Client,
  options: SubscribeOptions = {},
  onItem?: () => Promise<void> | void,
): Promise<Following> {
  const following = new Following(t, client, options, onItem)
  await eventually(() => assert.ok(following.isConnected))
  return following
}

/** Each number from 0 on once, those of a key in order. */
function assertWhole(numbers: readonly number[], count: number): void {
  const inOrder = [...numbers].sort((one, other) => one - other)
  assert.deepEqual(
    inOrder,
    Array.from({ length: count }, (_, number) => number),
  )
  for (let key = 0; key < keys; key++) {
    const ofKey = numbers.filter((number) => number % keys === key)
    assert.deepEqual(
      ofKey,
      inOrder.filter((number) => number % keys === key),
      `the order of key ${key}`,
    )
  }
}

for (const backend of backends('embedded', 'redis')) {
  test(`a subscriber whose connection is cut again and again gets each event once, those of a key in order (${backend.name})`, async (t) => {
    const server = await startInProcess(t, { ...(await backend.home(t)), topics: ['orders:4'] })
    const publisher = clientOf(t, server)
    const proxy = await startFaultProxy(t, () => server.grpc)
    // A message takes a while, so that cuts are in the middle of one.
    proxy.down.bytesPerSecond = 4_000_000
    const client = clientOf(t, { grpc: proxy.address })
    const following = await follow(t, client, { topic: 'orders', types: ['order.*'] })

    const [cuts, rounds, batch] = [samples(6, 50), 6, 100]
    for (let round = 0; round < cuts * rounds; round++) {
      await publisher.publishEvents(ordersOf(round * batch, batch, 200), { topic: 'orders' })
      if (round % rounds !== rounds / 2) continue
      await eventually(() => assert.ok(following.isConnected))
      proxy.cut()
    }
    await publisher.publishEvents([{ type: 'payment.made', data: 'not for it' }], { topic: 'orders' })

    const count = cuts * rounds * batch
    await eventually(() => assert.ok(following.events.length >= count), patient)
    assertWhole(following.numbers, count)
    assert.deepEqual(following.gaps, [])
    const kinds = following.items.map(({ is }) => is)
    assert.equal(kinds.filter((is) => is === 'disconnected').length, cuts)
    assert.equal(kinds.filter((is) => is === 'caught_up').length, 1)
  })

  test(`a subscriber goes on when its server was restarted, with what was accepted meanwhile (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const publisher = clientOf(t, server)
    const following = await follow(t, clientOf(t, server))
    await publisher.publishEvents(ordersOf(0, 100))
    await eventually(() => assert.equal(following.events.length, 100))
    await server.stop()
    await eventually(() => assert.ok(!following.isConnected))
    await server.start()
    await publisher.publishEvents(ordersOf(100, 100))
    await eventually(() => assert.ok(following.events.length >= 200))
    assertWhole(following.numbers, 200)
    assert.deepEqual(following.gaps, [])
    const { error } = following.items.find((item) => item.is === 'disconnected')!
    assert.deepEqual([error.code, error.message], ['draining', 'the server has asked to reconnect'])
  })
}

test('a subscriber goes on when Redis was restarted', async (t) => {
  const redis = await RedisServer.create({ flushes: true })
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url))
  const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_DURABILITY: 'disk' } })
  const publisher = clientOf(t, server).publisher()
  const following = await follow(t, clientOf(t, server))
  for (const order of ordersOf(0, 100)) publisher.add(order)
  await eventually(() => assert.equal(following.events.length, 100))
  await redis.stop('SIGKILL')
  for (const order of ordersOf(100, 100)) publisher.add(order)
  await redis.start()
  await publisher.close()
  await eventually(() => assert.ok(following.events.length >= 200))
  assertWhole(following.numbers, 200)
  assert.deepEqual(following.gaps, [])
})

test('what a slow subscriber gets and what it misses add up, a gap leads to what is missing, and a fast one gets all', async (t) => {
  const server = await startInProcess(t)
  const publisher = clientOf(t, server)
  const fast = await follow(t, clientOf(t, server))
  const halfPublished = Promise.withResolvers<void>()
  const options = { maxBufferedEvents: 500, types: ['order.*'] }
  let pause = () => halfPublished.promise
  const slow = await follow(t, clientOf(t, server), options, () => pause())
  pause = () => sleep(100)
  const [count, batch] = [samples(20_000, 100_000), 1000]
  for (let first = 0; first < count; first += batch) {
    await publisher.publishEvents(ordersOf(first, batch, 200))
    if (first > count / 2) halfPublished.resolve()
  }
  await eventually(() => assert.ok(fast.events.length >= count), patient)
  assert.ok(slow.events.length < count / 10, 'it was not slow')

  pause = async () => {}
  await eventually(() => assert.ok(slow.events.length + slow.dropped >= count), patient)
  assert.equal(slow.events.length + slow.dropped, count)
  assert.ok(slow.dropped > count / 2, `only ${slow.dropped} were dropped`)
  assertWhole(fast.numbers, count)
  assert.deepEqual(fast.gaps, [])

  const [gap] = slow.gaps
  const got = new Set(slow.numbers)
  const missing = fast.numbers.filter((number) => !got.has(number)).slice(0, gap!.dropped!)
  const again = await follow(t, clientOf(t, server), { ...options, from: gap!.from })
  await eventually(() => assert.ok(again.events.length >= missing.length))
  assert.deepEqual(again.numbers.slice(0, missing.length), missing)
  assert.deepEqual(
    slow.gaps.map(({ reason }) => reason),
    slow.gaps.map(() => 'slow'),
  )
})

test('a hundred subscriptions of a client each get every event, and each end of one frees it', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const stop = new AbortController()
  const options = { types: ['order.**'], signal: stop.signal }
  const many = Array.from({ length: 100 }, () => new Following(t, client, options))
  await eventually(() => assert.ok(many.every(({ isConnected }) => isConnected)))
  await client.publishEvents(ordersOf(0, 200))
  await eventually(() => assert.ok(many.every(({ events }) => events.length >= 200)))
  for (const { numbers } of many) assertWhole(numbers, 200)
  stop.abort()

  for await (const { is } of client.subscribe({ from: 'earliest' })) if (is === 'event') break
  const proxy = await startFaultProxy(t, () => server.grpc)
  const cut = grpcClient(t, { grpc: proxy.address }).subscribe({})
  const [cancelled, late] = [grpcClient(t, server).subscribe({}), grpcClient(t, server).subscribe({}, 200)]
  await Promise.all([cut.metadata, cancelled.metadata, late.metadata])
  proxy.cut()
  cancelled.call.cancel()
  assert.equal((await late.ended).code, status.DEADLINE_EXCEEDED)
  await eventually(async () => assert.equal((await getStatus(server.http)).subscribers, 0))
})

test('a second subscription with an id ends the first for good', async (t) => {
  const server = await startInProcess(t)
  const first = await follow(t, clientOf(t, server), { subscriberId: 'screen-1' })
  const raw = grpcClient(t, server).subscribe({ subscriberId: 'screen-2' })
  const second = await follow(t, clientOf(t, server), { subscriberId: 'screen-1' })
  await follow(t, clientOf(t, server), { subscriberId: 'screen-2' })
  await assert.rejects(first.ended, { code: 'failed_precondition', message: /screen-1/ })
  assert.equal((await raw.ended).code, status.ABORTED)
  await clientOf(t, server).publishEvents(ordersOf(0, 1))
  await eventually(() => assert.deepEqual(second.numbers, [0]))
})

test('a subscription that is not valid is refused with the name of the field', async (t) => {
  const server = await startInProcess(t, { topics: ['orders'] })
  const ofOrders = await follow(t, clientOf(t, server), { topic: 'orders' })
  const [connected] = ofOrders.items
  const cursor = connected?.is === 'connected' ? connected.cursor : assert.fail()
  const table: [Parameters<ReturnType<typeof grpcClient>['subscribe']>[0], string][] = [
    [{ topic: 'a b' }, 'topic'],
    [{ subscriberId: 'a b' }, 'subscriber_id'],
    [{ subscriberId: 'x'.repeat(65) }, 'subscriber_id'],
    [{ types: ['order.*x'] }, 'types'],
    [{ maxBufferedEvents: 0 }, 'max_buffered_events'],
    [{ maxBufferedEvents: 10_000_000 }, 'max_buffered_events'],
    [{ onSlow: 9 as never }, 'on_slow'],
    [{ from: 'yesterday' }, 'from'],
    [{ from: '2999-01-01T00:00:00Z' }, 'from'],
    [{ from: cursor }, 'from'],
  ]
  const client = grpcClient(t, server)
  for (const [fields, field] of table) {
    const { code, details, metadata } = await client.subscribe(fields).ended
    assert.equal(code, status.INVALID_ARGUMENT, `${field}: ${details}`)
    assert.ok(metadata.get('grpc-status-details-bin')[0]?.includes(field), details)
  }
  const refused: [SubscribeOptions, object][] = [
    [{ topic: 'nowhere' }, { code: 'not_found', field: 'topic' }],
    [{ maxBufferedEvents: -1 }, { code: 'invalid_event', field: 'maxBufferedEvents' }],
    [{ from: new Date(Number.NaN) }, { code: 'invalid_event', field: 'from', message: /a time as in 2026/ }],
    [{ onSlow: 'wait' as never }, { code: 'invalid_event', field: 'onSlow' }],
  ]
  for (const [options, error] of refused) {
    await assert.rejects(new Following(t, clientOf(t, server), options).ended, error)
  }
})

test('a server stops soon, also when a subscriber does not read', async (t) => {
  const server = await startInProcess(t)
  const reading = await follow(t, connect({ addresses: [server.grpc] }))
  const raw = grpcClient(t, server).subscribe({ maxBufferedEvents: 1_000_000 })
  await raw.metadata
  for (let first = 0; first < 6000; first += 1000) {
    await clientOf(t, server).publishEvents(ordersOf(first, 1000, 200))
  }
  await eventually(() => assert.equal(reading.events.length, 6000), patient)
  const began = performance.now()
  await server.stop()
  assert.ok(performance.now() - began < 4000, `it took ${performance.now() - began} ms`)
})

test('a thousand events are a thousand lines of millrace tail, as GET /v1/events has them', async (t) => {
  const server = await startInProcess(t)
  const words = ['tail', '--from', '-1m', '--type', 'order.*', '--attribute', 'tenant=acme', '--count', '1000']
  const tail = runCommand(words, { dataDir: server.dataDir })
  const client = clientOf(t, server)
  await client.publishEvents([
    { type: 'order.placed', data: 'of nobody' },
    { id: 'first', type: 'order.placed', timeMicros: 1_700_000_000_123_456, attributes: [['tenant', 'acme']] },
  ])
  for (let first = 0; first < 1000; first += 100) {
    const attributes: [string, string][] = [['tenant', 'acme']]
    await client.publishEvents(ordersOf(first, 100).map((order) => ({ ...order, attributes })))
  }
  const { code, stdout, stderr } = await tail
  assert.deepEqual([code, stderr], [0, ''])
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(events.length, 1000)
  assert.deepEqual(
    events.slice(1).map(({ data }) => data.number),
    Array.from({ length: 999 }, (_, number) => number),
  )
  const listed = await eventually(async () => {
    const page = await (await fetch(`http://${server.http}/v1/events?limit=1000&source=/`)).json()
    const found = (page as { events: { id: string }[] }).events.find(({ id }) => id === events[1].id)
    return found ?? assert.fail('it has not landed yet')
  })
  assert.deepEqual(events[1], listed)
  assert.equal(events[0].time, '2023-11-14T22:13:20.123456Z')
})

test('millrace tail says what fails on stderr, goes on, and ends with 0 at Ctrl-C and when its reader has ended', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const place = { cwd: server.dataDir, env: { ...inherited(), ...serverEnvironment(server.dataDir, {}) } }
  const { child, ended } = startMillrace(t, ['tail', '--from', 'earliest', '--output', 'table'], place)
  let printed = ''
  child.stdout?.on('data', (text: string) => {
    printed += text
  })
  await client.publishEvents(ordersOf(1, 1))
  await eventually(() => assert.match(printed, /^\S+Z {2}order\.placed {2}\/ {2}key-1 {2}\{"number":1,/m))
  await server.stop()
  await server.start()
  await client.publishEvents(ordersOf(2, 1))
  await eventually(() => assert.match(printed, /key-2/))
  child.kill('SIGINT')
  const { code, stderr, stdout } = await ended
  assert.equal(code, 0)
  assert.equal(stdout.split('\n').length, 3)
  assert.match(stderr, /^the server has asked to reconnect; trying again\nconnected: it goes on where it was\n$/)

  const wrapper = ['sh', '-c', '("$@"; echo "code $?" >&2) | head -1', 'tail']
  const piped = startMillrace(t, ['tail', '--from', 'earliest'], { ...place, wrapper })
  const publishing = setInterval(() => void client.publishEvents(ordersOf(3, 1)), 100)
  cleanup(t, () => clearInterval(publishing))
  const end = await piped.ended
  assert.deepEqual([end.stdout.split('\n').length, end.stderr], [2, 'code 0\n'])
})
