// Workers in other processes, over WorkService.Consume, as a raw gRPC client sees it.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { anyUnpack, timestampMs } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import { errorOfCall } from '../../src/client/grpc-errors.ts'
import { BadRequestSchema } from '../../src/gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts'
import type { Delivery, JoinSchema, OutcomeSchema } from '../../src/gen/millrace/v1/work_pb.ts'
import { defineHandler } from '../../src/index.ts'
import { backends, type Home } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient, type OpenConsume } from '../support/grpc-client.ts'
import { getStatus } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'

type Join = MessageInitShape<typeof JoinSchema>
type End = MessageInitShape<typeof OutcomeSchema>['end']

const group = 'remote'
const done: End = { case: 'done', value: {} }
const seconds = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 })

async function ledgerOf(server: { readonly http: string }) {
  const { ledger } = await getStatus(server.http)
  const { topic: _, group: __, ...terms } = ledger.find((line) => line.group === group)!
  return terms
}

async function statusOf({ http }: { readonly http: string }) {
  const { topics } = await getStatus(http)
  return topics[0]!.groups.find(({ name }) => name === group)!
}

const allSettled = (server: { readonly http: string }) =>
  eventually(async () => {
    const terms = await ledgerOf(server)
    assert.equal(terms.waiting, 0)
    return terms
  })

const poolsOf = async ({ http }: { readonly http: string }) => (await getStatus(http)).workers

/** A worker on a connection of its own, that has joined. */
async function workerOf(t: TestContext, server: InProcessServer, join: Join = {}): Promise<OpenConsume> {
  const worker = grpcClient(t, server).consume()
  // A stop of the server would wait for its outcomes.
  cleanup(t, () => worker.call.cancel())
  worker.send({ join: { group, maxInFlight: 1, ...join } })
  await Promise.race([worker.joined, worker.ended.then((status) => assert.fail(`it was refused: ${status.details}`))])
  return worker
}

const end = ({ delivery }: Delivery, how: End = done) => ({ outcomes: [{ delivery, end: how }] })
const idsOf = (worker: OpenConsume) => worker.deliveries.map(({ event, attempt }) => `${event?.id} ${attempt}`)
const eventsOf = (...ids: readonly string[]) => ids.map((id) => ({ id, type: 'a' }))
const start = async (t: TestContext, home: Home | null = null, env = {}) =>
  await startInProcess(t, { ...home, env: { ...home?.env, ...env } })

for (const backend of backends('embedded', 'redis')) {
  test(`each delivery is done, tried again or dead, as its worker says (${backend.name})`, async (t) => {
    const server = await start(t, await backend.home(t))
    const client = clientOf(t, server)
    const worker = grpcClient(t, server).consume()
    const attempts = new Map<string, number[]>()
    const begunAtMs: number[] = []
    const endOf = (type: string, attempt: number): End => {
      if (type === 'order.bad') return { case: 'failed', value: { code: 'not_found', message: 'no such thing' } }
      if (type === 'order.no') return { case: 'dead', value: { reason: 'out of stock' } }
      if (type !== 'order.late' || attempt === 3) return done
      return { case: 'retry', value: attempt === 1 ? { after: seconds(200) } : {} }
    }
    worker.onDelivery = (delivery) => {
      const { type, receivedAt } = delivery.event!
      assert.ok(Math.abs(timestampMs(receivedAt!) - Date.now()) < 10_000)
      attempts.set(type, [...(attempts.get(type) ?? []), delivery.attempt])
      worker.send(end(delivery, endOf(type, delivery.attempt)))
      if (type === 'order.late') begunAtMs.push(performance.now())
    }
    const initialDelay = seconds(5)
    worker.send({ join: { group, maxInFlight: 16, types: ['order.*'], maxAttempts: 3, initialDelay } })
    await worker.joined
    await client.publishEvents([
      ...Array.from({ length: 30 }, () => ({ type: 'order.paid' })),
      ...['order.bad', 'order.late', 'order.no', 'other.paid'].map((type) => ({ type })),
    ])

    const terms = await allSettled(server)
    assert.deepEqual([terms.landed, terms.dead, terms.balanced], [32, 2, true])
    assert.equal(attempts.get('order.paid')?.length, 30)
    assert.deepEqual(attempts.get('order.bad'), [1, 2, 3])
    assert.deepEqual(attempts.get('order.late'), [1, 2, 3])
    assert.ok(begunAtMs[1]! - begunAtMs[0]! >= 199)
    assert.deepEqual([attempts.get('order.no'), attempts.has('other.paid')], [[1], false])
    const letters = await eventually(async () => {
      const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
      assert.equal(deadLetters.length, 2)
      return deadLetters.map(({ type, code, message, attempts: tried }) => [type, code, message, tried]).sort()
    })
    assert.deepEqual(letters, [
      ['order.bad', 'not_found', 'no such thing', 3],
      ['order.no', 'invalid_event', 'out of stock', 1],
    ])
    const { types, state } = await statusOf(server)
    assert.deepEqual([types, state.is], [['order.*'], 'running'])
  })

  test(`no worker has more events than its places, and each event comes once (${backend.name})`, async (t) => {
    const server = await start(t, await backend.home(t))
    const seen = new Map<string, number[]>()
    const most = await Promise.all(
      [3, 5].map(async (maxInFlight) => {
        const worker = await workerOf(t, server, { maxInFlight })
        const counts = { atWork: 0, most: 0, total: 0 }
        worker.onDelivery = (delivery) => {
          counts.most = Math.max(counts.most, ++counts.atWork)
          counts.total++
          seen.set(delivery.event!.id, [...(seen.get(delivery.event!.id) ?? []), delivery.attempt])
          setTimeout(() => {
            counts.atWork--
            worker.send(end(delivery))
          }, 2)
        }
        return counts
      }),
    )
    const ids = Array.from({ length: 300 }, (_, number) => `e${number}`)
    await clientOf(t, server).publishEvents(eventsOf(...ids))

    const { landed, balanced } = await allSettled(server)
    assert.deepEqual([landed, balanced, most.map((each) => each.most)], [300, true, [3, 5]])
    assert.deepEqual([...seen.values()], Array(300).fill([1]))
    assert.ok(most.every(({ total }) => total > 50))
  })

  test(`what a lost worker had goes to another at once, as the next attempt (${backend.name})`, async (t) => {
    const server = await start(t, await backend.home(t))
    const ownPools = await poolsOf(server)
    const client = clientOf(t, server)
    const [lost, idle] = [await workerOf(t, server, { maxInFlight: 4 }), await workerOf(t, server)]
    await client.publishEvents(eventsOf('a', 'b', 'c', 'd', 'e'))
    await eventually(() => assert.equal(lost.deliveries.length + idle.deliveries.length, 5))
    idle.onDelivery = (delivery) => idle.send(end(delivery))
    idle.send(end(idle.deliveries[0]!))
    const startedAt = performance.now()
    lost.call.cancel()

    const { landed } = await allSettled(server)
    assert.ok(performance.now() - startedAt < 3000)
    assert.equal(landed, 5)
    const again = lost.deliveries.map(({ event }) => `${event!.id} 2`)
    assert.deepEqual(idsOf(idle).slice(1).sort(), again.sort())
    idle.call.end()
    assert.equal((await idle.ended).code, grpc.status.OK)
    // The last worker has left.
    await eventually(async () => assert.equal(await poolsOf(server), ownPools))
  })
}

test('a worker that leaves finishes what it has, and gives back the rest with the attempts of before', async (t) => {
  const server = await start(t)
  const worker = await workerOf(t, server, { maxInFlight: 2 })
  await clientOf(t, server).publishEvents(eventsOf('a', 'b', 'c'))
  await eventually(() => assert.equal(worker.deliveries.length, 2))
  worker.send({ leave: true })
  const [first, second] = worker.deliveries as [Delivery, Delivery]
  worker.send(end(first))
  worker.send(end(second, { case: 'returned', value: {} }))
  assert.equal((await worker.ended).code, grpc.status.OK)
  assert.equal(worker.deliveries.length, 2)

  const next = await workerOf(t, server, { maxInFlight: 2 })
  await eventually(() => assert.deepEqual(idsOf(next).sort(), ['b 1', 'c 1']))
  // It ends its stream without an outcome: that was an attempt.
  next.call.end()
  await next.ended
  const last = await workerOf(t, server, { maxInFlight: 2 })
  await eventually(() => assert.deepEqual(idsOf(last).sort(), ['b 2', 'c 2']))
})

test('a time limit that is over revokes the delivery, keeps its place, and its late outcome is ignored', async (t) => {
  const server = await start(t)
  const timeout = seconds(300)
  const silent = await workerOf(t, server, { maxInFlight: 1, timeout, initialDelay: seconds(1) })
  await clientOf(t, server).publishEvents(eventsOf('a'))
  await eventually(() => assert.equal(silent.deliveries.length, 1))
  const [delivery] = silent.deliveries as [Delivery]
  // For twice the time limit it shows signs of life.
  for (let times = 0; times < 6; times++) {
    await sleep(100)
    silent.send({ extend: [{ delivery: delivery.delivery }] })
  }
  assert.deepEqual(silent.revoked, [])
  await eventually(() => assert.deepEqual(silent.revoked, [{ delivery: Number(delivery.delivery), reason: 1 }]))
  const held = '1 of 1 places are held by attempts that go on after their time limit'
  await eventually(async () => assert.equal((await statusOf(server)).state.reason, held))
  const other = await workerOf(t, server)
  await eventually(() => assert.deepEqual(idsOf(other), ['a 2']))
  assert.equal(silent.deliveries.length, 1)
  silent.send({ extend: [{ delivery: delivery.delivery }] })
  silent.send(end(delivery, { case: 'dead', value: { reason: 'too late' } }))
  other.send(end(other.deliveries[0]!))
  const { landed, dead } = await allSettled(server)
  assert.deepEqual([landed, dead], [1, 0])
  // The place is free again.
  other.call.end()
  await clientOf(t, server).publishEvents(eventsOf('b'))
  await eventually(() => assert.deepEqual(idsOf(silent), ['a 1', 'b 1']))
})

test('events of a key come in order, one at a time, also after a lost worker', async (t) => {
  const server = await start(t)
  const ownPools = await poolsOf(server)
  const lost = await workerOf(t, server, { ordered: true })
  await clientOf(t, server).publishEvents(eventsOf('a', 'b', 'c').map((event) => ({ ...event, key: 'k' })))
  await eventually(() => assert.deepEqual(idsOf(lost), ['a 1']))
  lost.call.cancel()
  await eventually(async () => assert.equal(await poolsOf(server), ownPools))
  // It does not say that the group is ordered: it takes what is declared.
  const worker = await workerOf(t, server, { maxInFlight: 4 })
  worker.onDelivery = (delivery) => setTimeout(() => worker.send(end(delivery)), 20)
  await allSettled(server)
  assert.deepEqual(idsOf(worker), ['a 2', 'b 1', 'c 1'])
})

test('an event that ends its worker each time is dead after its attempts, and those beside it are done', async (t) => {
  const server = await start(t)
  let lost = 0
  const join = async () => {
    const worker = await workerOf(t, server, { maxInFlight: 8, maxAttempts: 3 })
    worker.onDelivery = (delivery) => {
      if (delivery.event!.type === 'poison') {
        lost++
        worker.call.cancel()
        void join()
      } else setTimeout(() => worker.send(end(delivery)), 20)
    }
  }
  await join()
  await clientOf(t, server).publishEvents([{ type: 'poison' }, ...eventsOf('a', 'b', 'c', 'd', 'e', 'f', 'g')])
  const { landed, dead } = await allSettled(server)
  assert.deepEqual([landed, dead, lost], [7, 1, 3])
})

function fieldOf(status: grpc.StatusObject): string | undefined {
  const { details } = fromRich(status)
  return details.map((detail) => anyUnpack(detail, BadRequestSchema)?.fieldViolations[0]?.field).find(Boolean)
}

function fromRich({ metadata }: grpc.StatusObject) {
  const [encoded] = metadata.get('grpc-status-details-bin')
  return fromBinary(StatusSchema, encoded as Buffer)
}

test('a worker that joins with other options than its group has is refused, with the field', async (t) => {
  const server = await start(t)
  const declared: Join = { types: ['a'], ordered: false, timeout: seconds(5000), maxAttempts: 4, onExhausted: 2 }
  const first = await workerOf(t, server, declared)
  const { joined } = await first.joined
  assert.deepEqual([joined?.timeout?.seconds, joined?.maxAttempts], [5n, 4])
  const others: readonly [string, Join][] = [
    ['types', { types: ['a', 'b'] }],
    ['ordered', { ordered: true }],
    ['timeout', { timeout: seconds(5001) }],
    ['max_attempts', { maxAttempts: 5 }],
    ['initial_delay', { initialDelay: seconds(5) }],
    ['max_delay', { maxDelay: seconds(70_000) }],
    ['on_exhausted', { onExhausted: 1 }],
    ['group_concurrency', { groupConcurrency: 5 }],
    ['rate_per_second', { ratePerSecond: 5 }],
    ['limit_per_key', { limitPerKey: 5 }],
  ]
  for (const [field, join] of others) {
    const worker = grpcClient(t, server).consume()
    worker.send({ join: { group, maxInFlight: 1, ...join } })
    const { code, details } = await worker.ended
    assert.equal(code, grpc.status.FAILED_PRECONDITION, field)
    assert.match(details, new RegExp(`^join.${field} is .*, but the workers of the group have `))
  }
  await workerOf(t, server, declared)
  await workerOf(t, server)
  await clientOf(t, server).publishEvents(eventsOf('x'))
  await eventually(() => assert.equal(first.deliveries.length, 1))
})

test('no more events are at work than the group allows, and one that goes on after its time limit counts', async (t) => {
  const server = await start(t)
  const join = { maxInFlight: 4, groupConcurrency: 2, timeout: seconds(300), initialDelay: seconds(5) }
  const [first, second] = [await workerOf(t, server, join), await workerOf(t, server, join)]
  const atWork = () => first.deliveries.length + second.deliveries.length
  await clientOf(t, server).publishEvents(eventsOf('a', 'b', 'c'))
  const held = '2 of 2 places are held by attempts that go on after their time limit'
  await eventually(async () => assert.equal((await statusOf(server)).state.reason, held))
  assert.equal(atWork(), 2)
  for (const worker of [first, second]) {
    const answer = (delivery: Delivery) => worker.send(end(delivery))
    for (const delivery of worker.deliveries) answer(delivery)
    worker.onDelivery = answer
  }
  assert.equal((await allSettled(server)).landed, 3)
  assert.equal(atWork(), 5)
})

test('no more events of a key are at work than the limit of the group allows', async (t) => {
  const server = await start(t)
  const worker = await workerOf(t, server, { maxInFlight: 10, limitPerKey: 2 })
  const events = ['a', 'b'].flatMap((key) =>
    eventsOf(`${key}1`, `${key}2`, `${key}3`).map((event) => ({ ...event, key })),
  )
  await clientOf(t, server).publishEvents(events)
  await eventually(() => assert.deepEqual(idsOf(worker).toSorted(), ['a1 1', 'a2 1', 'b1 1', 'b2 1']))
  worker.send(end(worker.deliveries.find(({ event }) => event?.id === 'a1')!))
  await eventually(() => assert.deepEqual(idsOf(worker).slice(4), ['a3 1']))
})

const wrongJoins: readonly [string, Join, grpc.status][] = [
  ['join.group', { group: '' }, grpc.status.INVALID_ARGUMENT],
  ['join.group', { group: 'landing' }, grpc.status.FAILED_PRECONDITION],
  ['join.group', { group: 'local' }, grpc.status.FAILED_PRECONDITION],
  ['join.topic', { topic: 'nowhere' }, grpc.status.NOT_FOUND],
  ['join.topic', { topic: '_dead' }, grpc.status.NOT_FOUND],
  ['join.max_in_flight', { maxInFlight: 0 }, grpc.status.INVALID_ARGUMENT],
  ['join.max_in_flight', { maxInFlight: 1_000_000 }, grpc.status.INVALID_ARGUMENT],
  ['join.types', { types: ['a.**.b'] }, grpc.status.INVALID_ARGUMENT],
  ['join.types', { types: [''] }, grpc.status.INVALID_ARGUMENT],
  ['join.timeout', { timeout: seconds(0) }, grpc.status.INVALID_ARGUMENT],
  ['join.timeout', { timeout: { seconds: -1n } }, grpc.status.INVALID_ARGUMENT],
  ['join.max_attempts', { maxAttempts: 1001 }, grpc.status.INVALID_ARGUMENT],
  ['join.initial_delay', { initialDelay: seconds(70_000) }, grpc.status.INVALID_ARGUMENT],
  ['join.max_delay', { maxDelay: seconds(100_000_000) }, grpc.status.INVALID_ARGUMENT],
  ['join.on_exhausted', { onExhausted: 7 as 1 }, grpc.status.INVALID_ARGUMENT],
  ['join.group_concurrency', { groupConcurrency: 100_001 }, grpc.status.INVALID_ARGUMENT],
  ['join.rate_per_second', { ratePerSecond: 0.5 }, grpc.status.INVALID_ARGUMENT],
  ['join.limit_per_key', { limitPerKey: 100_001 }, grpc.status.INVALID_ARGUMENT],
]

test('bad messages end their stream with the field, and the workers beside it go on', async (t) => {
  const server = await startInProcess(t, { handlers: [defineHandler({ group: 'local', handle: () => {} })] })
  const client = clientOf(t, server)
  const good = await workerOf(t, server, { maxAttempts: 100 })
  good.onDelivery = (delivery) => good.send(end(delivery))
  for (const [field, join, code] of wrongJoins) {
    const worker = grpcClient(t, server).consume()
    worker.send({ join: { group: 'wrong', maxInFlight: 1, ...join } })
    const status = await worker.ended
    assert.equal(status.code, code, `${field}: ${status.details}`)
    assert.ok(status.details.startsWith(field), status.details)
    if (code === grpc.status.INVALID_ARGUMENT) assert.equal(fieldOf(status), field)
  }

  const early = grpcClient(t, server).consume()
  early.send({ outcomes: [{ delivery: 1n, end: done }] })
  assert.equal(fieldOf(await early.ended), 'join')
  const garbage = grpcClient(t, server).consume()
  garbage.call.write(Buffer.from([0x0a, 0xff, 0xff]))
  const refused = await garbage.ended
  assert.deepEqual([refused.code, refused.details], [3, 'the message is not a valid protobuf message'])

  type Send = (worker: OpenConsume, delivery: Delivery) => void
  const wrong: readonly [string, Send][] = [
    ['join', (worker) => worker.send({ join: { group, maxInFlight: 1 } })],
    ['outcomes[0].delivery', (worker) => worker.send({ outcomes: [{ delivery: 77n, end: done }] })],
    ['outcomes[0].delivery', (worker) => worker.send({ outcomes: [{ delivery: 2n ** 63n, end: done }] })],
    ['outcomes[0].end', (worker, { delivery }) => worker.send({ outcomes: [{ delivery }] })],
    [
      'outcomes[0].retry.after',
      (worker, delivery) => worker.send(end(delivery, { case: 'retry', value: { after: seconds(90_000_000) } })),
    ],
    ['extend[0].delivery', (worker) => worker.send({ extend: [{ delivery: 77n }] })],
  ]
  for (const [field, send] of wrong) {
    const worker = await workerOf(t, server, { maxInFlight: 4 })
    await client.publishEvents(eventsOf('x'))
    await eventually(() => assert.ok(worker.deliveries.length >= 1))
    send(worker, worker.deliveries[0]!)
    assert.equal(fieldOf(await worker.ended), field)
  }
  const twice = await workerOf(t, server, { maxInFlight: 4 })
  await client.publishEvents(eventsOf('x'))
  await eventually(() => assert.ok(twice.deliveries.length >= 1))
  const [outcome] = end(twice.deliveries[0]!).outcomes
  twice.send({ outcomes: [outcome!, outcome!] })
  assert.equal(fieldOf(await twice.ended), 'outcomes[1].delivery')

  const { landed, dead, accepted } = await allSettled(server)
  assert.deepEqual([landed, dead], [accepted, 0])
})

test('a worker that never reads gets no more than its places, and delays no other', async (t) => {
  const server = await start(t)
  const deaf = await workerOf(t, server, { maxInFlight: 8, timeout: seconds(1000), initialDelay: seconds(10) })
  deaf.call.pause()
  const data = { text: 'x'.repeat(500_000) }
  const client = clientOf(t, server)
  for (let number = 0; number < 60; number++) await client.publishEvents([{ id: `e${number}`, type: 'a', data }])
  const good = await workerOf(t, server, { maxInFlight: 8 })
  good.onDelivery = (delivery) => good.send(end(delivery))
  const { landed } = await allSettled(server)
  assert.equal(landed, 60)
  deaf.call.resume()
  await eventually(() => assert.equal(deaf.revoked.length, 8))
  assert.equal(deaf.deliveries.length, 8)
})

test('a stop takes the outcomes of what is at work, and gives out nothing more', async (t) => {
  const server = await start(t, null, { MILLRACE_DRAIN_MS: '3000' })
  const [quick, slow] = [await workerOf(t, server, { maxInFlight: 2 }), await workerOf(t, server, { maxInFlight: 2 })]
  await clientOf(t, server).publishEvents(eventsOf('a', 'b', 'c', 'd', 'e', 'f'))
  await eventually(() => assert.equal(quick.deliveries.length + slow.deliveries.length, 4))
  const stopped = server.stop()
  const unjoined = grpcClient(t, server).consume()
  unjoined.send({ join: { group, maxInFlight: 1 } })
  await sleep(300)
  quick.send({ outcomes: quick.deliveries.map(({ delivery }) => ({ delivery, end: done })) })
  slow.send(end(slow.deliveries[0]!))
  await eventually(() => assert.equal(slow.revoked.length, 1))
  assert.deepEqual(slow.revoked, [{ delivery: Number(slow.deliveries[1]!.delivery), reason: 2 }])
  assert.deepEqual(quick.revoked, [])
  const ends = await Promise.all([quick.ended, slow.ended])
  assert.deepEqual(
    ends.map((status) => [errorOfCall(status).code, status.code]),
    Array(2).fill(['draining', grpc.status.UNAVAILABLE]),
  )
  await stopped
  assert.equal(quick.deliveries.length + slow.deliveries.length, 4)

  await server.start()
  const next = await workerOf(t, server, { maxInFlight: 9 })
  const left = slow.deliveries[1]!.event!.id
  await eventually(() => assert.equal(next.deliveries.length, 3))
  assert.deepEqual(idsOf(next).sort(), [`${left} 1`, 'e 1', 'f 1'].sort())
})
