// Workers of client.work(): handlers in a process of the user's own.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, dead, type Logger, MillraceError, retry, type WorkOptions } from '../../src/index.ts'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus, metricsOf } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { inherited, projectRoot, startServer, testedNodeArguments } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const group = 'mailer'

interface Server {
  readonly http: string
  readonly grpc: string
}

async function ledgerOf(server: Server) {
  const { ledger } = await getStatus(server.http)
  return ledger.find((line) => line.group === group)!
}

const allSettled = (server: Server) =>
  eventually(async () => {
    const terms = await ledgerOf(server)
    assert.equal(terms.waiting, 0)
    return terms
  })

const lines: string[] = []
const logger = (fields: object = {}): Logger => {
  const write = (level: string) => (first: object | string, text?: string) =>
    void lines.push(JSON.stringify({ level, ...fields, text: text ?? first }))
  const methods = Object.fromEntries(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((name) => [name, write(name)]),
  )
  return { ...methods, child: (more: object) => logger({ ...fields, ...more }) } as unknown as Logger
}

/** A worker with a client of its own, which finds the server again after a restart. */
function workerOf(t: TestContext, server: Server, options: Partial<WorkOptions> & Pick<WorkOptions, 'handle'>) {
  const client = connect({ addresses: () => [server.grpc] })
  const worker = client.work({ group, logger: logger(), ...options })
  cleanup(t, async () => {
    await worker.close({ withinMs: 100 })
    client.close()
  })
  return worker
}

const eventsOf = (...ids: readonly string[]) => ids.map((id) => ({ id, type: 'a' }))

for (const backend of backends('embedded', 'redis')) {
  test(`a worker has the context of a handler, and its ends are those of a handler (${backend.name})`, async (t) => {
    const server = await startInProcess(t, await backend.home(t))
    const attempts = new Map<string, number[]>()
    lines.length = 0
    workerOf(t, server, {
      types: ['order.*'],
      retry: { maxAttempts: 3, initialDelayMs: 5 },
      async handle({ id, type, json, key, attributes, time, eventId }, { attempt, publish, logger: own }) {
        attempts.set(type, [...(attempts.get(type) ?? []), attempt])
        if (type === 'order.bad') throw new Error(`no ${(json() as { thing: string }).thing}`)
        if (type === 'order.late' && attempt < 3) return retry({ afterMs: 10 })
        if (type === 'order.no') return dead('out of stock')
        own.info(`${id} ${key} ${attributes.tenant} ${time.getTime()}`)
        await publish({ id: `mail-${eventId}`, type: 'mail.sent' })
        await assert.rejects(publish([{ type: 'mail.sent' }, { type: '' }]), {
          code: 'invalid_event',
          field: 'events[1]',
        })
        return undefined
      },
    })
    const client = clientOf(t, server)
    await client.publishEvents([
      { id: 'one', type: 'order.paid', key: 'k', attributes: [['tenant', 'x']], timeMicros: 1_700_000_000_123_456 },
      { type: 'order.bad', data: { thing: 'address' } },
      { type: 'order.late' },
      { type: 'order.no' },
    ])

    await eventually(async () => assert.equal((await ledgerOf(server)).accepted, 6))
    const { landed, dead: died } = await allSettled(server)
    // The two mails are of other types.
    assert.deepEqual([landed, died], [4, 2])
    assert.deepEqual(Object.fromEntries(attempts), {
      ...{ 'order.paid': [1], 'order.bad': [1, 2, 3], 'order.late': [1, 2, 3], 'order.no': [1] },
    })
    const letters = await eventually(async () => {
      const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
      assert.equal(deadLetters.length, 2)
      return deadLetters.map(({ type, code, message, attempts: tried }) => [type, code, message, tried]).sort()
    })
    assert.deepEqual(letters, [
      ['order.bad', 'internal', 'Error: no address', 3],
      ['order.no', 'invalid_event', 'out of stock', 1],
    ])
    const line = { level: 'info', topic: 'events', group, id: 'one', text: 'one k x 1700000000123' }
    assert.ok(lines.includes(JSON.stringify(line)), lines.join('\n'))
  })

  test(`a worker goes on when its server was away, and every event is done (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startServer(t, { ...home, env: { ...home.env, MILLRACE_LEASE_MS: '2000' } })
    const [seen, reasons] = [new Map<string, number[]>(), new Set<unknown>()]
    workerOf(t, server, {
      concurrency: 16,
      async handle({ id }, { attempt, signal }) {
        seen.set(id, [...(seen.get(id) ?? []), attempt])
        await sleep(200, undefined, { signal }).catch(() => reasons.add(signal.reason))
      },
    })
    const client = clientOf(t, server)
    await client.publishEvents(eventsOf(...Array.from({ length: 100 }, (_, number) => `e${number}`)))
    await eventually(() => assert.ok(seen.size > 20))
    await server.kill()
    await eventually(() => assert.deepEqual([...reasons], ['lease_lost']))
    await server.start()
    const { landed } = await allSettled(server)
    assert.deepEqual([landed, seen.size], [100, 100])
    const again = [...seen.values()].filter((attempts) => attempts.length > 1)
    assert.ok(again.length >= 4 && again.every((attempts) => attempts.at(-1)! <= attempts.length))
  })
}

test('a worker goes on at another server when its own stops, and takes nothing with it', async (t) => {
  const [redis] = backends('redis')
  const home = await redis!.home(t)
  const first = await startInProcess(t, home)
  const second = await startInProcess(t, { ...home, dataDir: tempDirectory(t) })
  const seen: string[] = []
  const client = connect({ addresses: () => [first.grpc, second.grpc] })
  const worker = client.work({
    ...{ group, logger: logger(), concurrency: 8 },
    async handle({ id }, { attempt }) {
      await sleep(10)
      seen.push(`${id} ${attempt}`)
    },
  })
  cleanup(t, async () => {
    await worker.close({ withinMs: 100 })
    client.close()
  })
  const ids = Array.from({ length: 300 }, (_, number) => `e${number}`)
  await clientOf(t, second).publishEvents(eventsOf(...ids))
  await eventually(() => assert.ok(seen.length > 50))
  await first.stop()
  assert.ok(seen.length < 300)
  const { landed } = await allSettled(second)
  assert.equal(landed, 300)
  assert.deepEqual(seen.sort(), ids.map((id) => `${id} 1`).sort())
})

test('the time limit aborts the signal with timeout, and progress starts it again', async (t) => {
  const server = await startInProcess(t)
  const ends: unknown[] = []
  const aborted = Promise.withResolvers<unknown>()
  workerOf(t, server, {
    timeoutMs: 400,
    retry: { maxAttempts: 1 },
    async handle({ type }, { signal, progress, publish }) {
      if (type === 'moves') for (let step = 0; step < 8; step++) await sleep(100).then(progress)
      else await once(signal, 'abort')
      ends.push(signal.aborted ? signal.reason : type)
      if (signal.aborted) aborted.resolve(await publish({ type: 'too.late' }).catch(({ code }: MillraceError) => code))
    },
  })
  await clientOf(t, server).publishEvents([{ type: 'moves' }, { type: 'hangs' }])
  const { landed, dead: died } = await allSettled(server)
  assert.deepEqual([landed, died, ends.sort()], [1, 1, ['moves', 'timeout']])
  assert.equal(await aborted.promise, 'deadline_exceeded')
})

test('a client has more workers than a connection has streams', async (t) => {
  const server = await startInProcess(t)
  const client = connect({ addresses: [server.grpc] })
  const begun = new Set<string>()
  const release = Promise.withResolvers<void>()
  const handle = async ({ id }: { readonly id: string }) => {
    begun.add(id)
    await release.promise
  }
  const workers = Array.from({ length: 120 }, () => client.work({ group, logger: logger(), concurrency: 1, handle }))
  cleanup(t, async () => {
    release.resolve()
    await Promise.all(workers.map((worker) => worker.close()))
    client.close()
  })
  await client.publishEvents(eventsOf(...workers.map((_, number) => `e${number}`)))
  await eventually(() => assert.equal(begun.size, workers.length))
})

test('a group that is deleted aborts the signals of its workers with lease_lost', async (t) => {
  const server = await startInProcess(t)
  const begun = Promise.withResolvers<AbortSignal>()
  workerOf(t, server, {
    async handle(_, { signal }) {
      begun.resolve(signal)
      await once(signal, 'abort')
    },
  })
  const client = clientOf(t, server)
  await client.publishEvents(eventsOf('a'))
  const signal = await begun.promise
  await client.administration.deleteGroup({ topic: 'events', group })
  await eventually(() => assert.equal(signal.reason, 'lease_lost'))
})

test('close() finishes what is at work, and what is not begun loses no attempt', async (t) => {
  const server = await startInProcess(t)
  const release = Promise.withResolvers<void>()
  const begun: string[] = []
  const worker = workerOf(t, server, {
    concurrency: 3,
    async handle({ id }) {
      begun.push(id)
      await release.promise
    },
  })
  await clientOf(t, server).publishEvents(eventsOf('a', 'b', 'c', 'd', 'e', 'f'))
  await eventually(() => assert.equal(begun.length, 3))
  const closed = worker.close()
  release.resolve()
  await closed
  await worker.ended
  assert.equal(begun.length, 3)
  const seen: string[] = []
  workerOf(t, server, { handle: ({ id }, { attempt }) => void seen.push(`${id} ${attempt}`) })
  const { landed } = await allSettled(server)
  assert.deepEqual([landed, seen.sort()], [6, ['d 1', 'e 1', 'f 1']])
})

test('close() gives back what does not end within its bound, with the attempts of before', async (t) => {
  const server = await startInProcess(t)
  const reasons: unknown[] = []
  const worker = workerOf(t, server, {
    async handle({ id }, { signal }) {
      if (id === 'deaf') return await new Promise<never>(() => {})
      await once(signal, 'abort')
      reasons.push(signal.reason)
      throw new Error('stopped')
    },
  })
  await clientOf(t, server).publishEvents(eventsOf('deaf', 'hears'))
  await eventually(async () =>
    assert.equal((await getStatus(server.http)).topics[0]!.groups.find(({ name }) => name === group)?.in_flight, 2),
  )
  const startedAt = performance.now()
  await worker.close({ withinMs: 600 })
  assert.ok(performance.now() - startedAt < 1500)
  assert.deepEqual(reasons, ['shutdown'])
  const seen: string[] = []
  workerOf(t, server, { handle: ({ id }, { attempt }) => void seen.push(`${id} ${attempt}`) })
  await allSettled(server)
  assert.deepEqual(seen.sort(), ['deaf 1', 'hears 1'])
})

test('a worker whose server is away closes within its bound', async (t) => {
  const server = await startServer(t)
  const begun = Promise.withResolvers<void>()
  const worker = workerOf(t, server, {
    handle: async () => {
      begun.resolve()
      await new Promise(() => {})
    },
  })
  await clientOf(t, server).publishEvents(eventsOf('a'))
  await begun.promise
  await server.kill()
  const startedAt = performance.now()
  await worker.close({ withinMs: 500 })
  await worker.ended
  assert.ok(performance.now() - startedAt < 1500)
})

test('a worker that the server refuses ends with the reason, and a wrong option is refused at once', async (t) => {
  const server = await startInProcess(t)
  const { workers: ownPools } = await getStatus(server.http)
  const handle = () => {}
  const nowhere = workerOf(t, server, { topic: 'nowhere', handle })
  await assert.rejects(nowhere.ended, { code: 'not_found' })
  workerOf(t, server, { timeoutMs: 1000, handle })
  await eventually(async () => assert.equal((await getStatus(server.http)).workers, ownPools! + 1))
  const other = workerOf(t, server, { timeoutMs: 2000, handle })
  await assert.rejects(other.ended, { code: 'failed_precondition', message: /^join.timeout is 2000, but/ })
  const client = clientOf(t, server)
  const wrong: readonly [string, Partial<Record<string, unknown>>][] = [
    ['concurrency', { concurrency: 1001 }],
    ['batch', { batch: { maxEvents: 5 } }],
    ['isolate', { isolate: true }],
    ['groupConcurrency', { groupConcurrency: 0 }],
    ['timeoutMs', { timeoutMs: 0 }],
  ]
  for (const [field, options] of wrong)
    assert.throws(
      () => client.work({ group, handle, ...options }),
      (error) => error instanceof MillraceError && error.field === field,
    )
})

test('examples/worker.ts works in a process of its own, and ends on SIGTERM when it has finished', async (t) => {
  const server = await startInProcess(t)
  const child = spawn(
    process.execPath,
    [...testedNodeArguments, join(projectRoot, 'examples/worker.ts'), server.grpc],
    { env: inherited() },
  )
  cleanup(t, () => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  const orders = Array.from({ length: 100 }, (_, index) => ({ type: 'order.placed', data: { number: index + 1 } }))
  await clientOf(t, server).publishEvents(orders)
  const { landed, dead: died } = await eventually(async () => {
    const { ledger } = await getStatus(server.http)
    const line = ledger.find((each) => each.group === 'kitchen')!
    assert.deepEqual([line.waiting, line.accepted], [0, 198])
    return line
  })
  assert.deepEqual([landed, died], [196, 2])
  child.kill('SIGTERM')
  const [code] = await once(child, 'close')
  assert.deepEqual([code, output], [0, 'cooked 98\n'])
})

test('a worker that was stopped for longer than the time limit loses its events, and its late outcomes do not count', async (t) => {
  const server = await startInProcess(t)
  const other = grpcClient(t, server).consume()
  cleanup(t, () => other.call.cancel())
  const timeout = { seconds: 1n }
  other.onDelivery = ({ delivery }) => other.send({ outcomes: [{ delivery, end: { case: 'done', value: {} } }] })
  other.send({ join: { group: 'kitchen', types: ['order.*'], maxInFlight: 1, timeout } })
  await other.joined
  const child = spawn(
    process.execPath,
    [...testedNodeArguments, join(projectRoot, 'examples/worker.ts'), server.grpc],
    { env: inherited() },
  )
  cleanup(t, () => void child.kill('SIGKILL'))
  const client = clientOf(t, server)
  const publishOrders = (count: number) =>
    client.publishEvents(Array.from({ length: count }, () => ({ type: 'order.placed', data: { number: 1 } })))
  const line = async () => (await getStatus(server.http)).ledger.find((each) => each.group === 'kitchen')!
  const attemptsOf = async (end: string) => {
    const text = await metricsOf(server)
    const pattern = `^millrace_handler_attempts_total\\{.*group="kitchen".*end="${end}".*\\} (\\d+)$`
    return Number(new RegExp(pattern, 'm').exec(text)?.[1] ?? 0)
  }
  const settled = () => eventually(async () => assert.equal((await line()).waiting, 0), { withinMs: 30_000 })

  // So many, and a look so often, or all is done before the worker is stopped.
  await publishOrders(1000)
  await eventually(async () => assert.ok(((await client.status()).ledger[0]?.accepted ?? 0) > 1020), { everyMs: 10 })
  child.kill('SIGSTOP')
  const before = other.deliveries.length
  await settled()
  assert.ok(other.deliveries.length > before)
  const failed = await attemptsOf('failed')
  assert.ok(failed >= 1 && failed <= 8, `${failed} attempts have failed`)
  const done = await attemptsOf('done')
  child.kill('SIGCONT')
  await publishOrders(200)
  await eventually(async () => assert.ok((await attemptsOf('done')) >= done + 200))
  await settled()
  const { accepted, landed, dead: died } = await line()
  assert.deepEqual([landed, died], [accepted, 0])
  assert.deepEqual([await attemptsOf('failed'), await attemptsOf('done')], [failed, done + 200])
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})
