// Handlers: functions of people that work on events, in a whole server.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { dead, defineHandler, type HandledEvent, type HandlerOptions, retry } from '../../src/index.ts'
import { backends, type Home } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus, metricsOf, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand, runCommandProcess } from '../support/run-command.ts'
import { defineHandlerModule, projectRoot } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const group = 'mailer'

/** The group's line of the ledger, without its names. */
async function ledgerOf(server: { readonly http: string }) {
  const { ledger } = await getStatus(server.http)
  const { topic: _, group: __, ...terms } = ledger.find((line) => line.group === group)!
  return terms
}

async function allSettled(server: { readonly http: string }, withinMs = 10_000) {
  return await eventually(
    async () => {
      const terms = await ledgerOf(server)
      assert.equal(terms.waiting, 0)
      return terms
    },
    { withinMs },
  )
}

function startWith(
  t: TestContext,
  home: Home | null,
  options: Partial<HandlerOptions> & Pick<HandlerOptions, 'handle'>,
): Promise<InProcessServer> {
  return startInProcess(t, { ...home, handlers: [defineHandler({ group, ...options })] })
}

for (const backend of backends('embedded', 'redis')) {
  test(`each event of a handler's types is done, tried again or dead, apart from the others (${backend.name})`, async (t) => {
    const attempts = new Map<string, number[]>()
    const handle = ({ type, json }: HandledEvent, { attempt }: { readonly attempt: number }) => {
      attempts.set(type, [...(attempts.get(type) ?? []), attempt])
      if (type === 'order.bad') throw new Error(`no ${(json() as { thing: string }).thing}`)
      if (type === 'order.late' && attempt < 3) return retry({ afterMs: 10 })
      if (type === 'order.no') return dead('out of stock')
      return undefined
    }
    const retries = { maxAttempts: 3, initialDelayMs: 5 }
    const server = await startWith(t, await backend.home(t), { types: ['order.*'], retry: retries, handle })
    const client = clientOf(t, server)
    const many = Array.from({ length: 30 }, () => ({ type: 'order.paid' }))
    await client.publishEvents([
      ...many,
      { type: 'order.bad', data: { thing: 'address' } },
      { type: 'order.late' },
      { type: 'order.no' },
      { type: 'other.paid' },
    ])

    const terms = await allSettled(server)
    assert.deepEqual(terms, {
      ...{ accepted: 34, reopened: 0, waiting: 0, landed: 32, dead: 2, lost: 0, balanced: true },
    })
    assert.equal(attempts.get('order.paid')?.length, 30)
    assert.deepEqual(attempts.get('order.bad'), [1, 2, 3])
    assert.deepEqual(attempts.get('order.late'), [1, 2, 3])
    assert.deepEqual(attempts.get('order.no'), [1])
    assert.equal(attempts.has('other.paid'), false)
    const letters = await eventually(async () => {
      const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
      assert.equal(deadLetters.length, 2)
      return deadLetters.map(({ type, code, message, attempts: tried }) => [type, code, message, tried]).sort()
    })
    assert.deepEqual(letters, [
      ['order.bad', 'internal', 'Error: no address', 3],
      ['order.no', 'invalid_event', 'out of stock', 1],
    ])
    const { topics } = await getStatus(server.http)
    const status = topics[0]!.groups.find(({ name }) => name === group)
    assert.deepEqual([status?.types, status?.state.is], [['order.*'], 'running'])
  })

  test(`no more events are at work than the concurrency, also of an entry with more (${backend.name})`, async (t) => {
    let [atWork, most] = [0, 0]
    const seen = new Map<string, number[]>()
    const server = await startWith(t, await backend.home(t), {
      concurrency: 8,
      handle: async ({ id }, { attempt }) => {
        most = Math.max(most, ++atWork)
        seen.set(id, [...(seen.get(id) ?? []), attempt])
        await sleep(1)
        atWork--
      },
    })
    await clientOf(t, server).publishEvents(Array.from({ length: 300 }, (_, id) => ({ id: `e${id}`, type: 'a' })))

    const { landed, balanced } = await allSettled(server)
    assert.deepEqual([landed, balanced, most], [300, true, 8])
    // Cutting an entry uses no attempt.
    assert.deepEqual([...seen.values()], Array(300).fill([1]))
  })

  test(`a batch handler works on several events a call, and tries those of a failed batch one by one (${backend.name})`, async (t) => {
    const sizes: number[] = []
    const tried = new Map<string, number>()
    const batchHandler = defineHandler({
      group,
      batch: { maxEvents: 50, maxWaitMs: 50 },
      retry: { maxAttempts: 3, initialDelayMs: 5 },
      handle: (events) => {
        sizes.push(events.length)
        for (const { id } of events) tried.set(id, (tried.get(id) ?? 0) + 1)
        if (events.some(({ type }) => type === 'bad')) throw new Error('the batch has a bad event')
      },
    })
    const server = await startInProcess(t, { ...(await backend.home(t)), handlers: [batchHandler] })
    const events = Array.from({ length: 300 }, (_, id) => ({ id: `e${id}`, type: id === 150 ? 'bad' : 'fine' }))
    await clientOf(t, server).publishEvents(events)

    const { landed, dead: died, balanced } = await allSettled(server)
    assert.deepEqual([landed, died, balanced], [299, 1, true])
    assert.deepEqual([tried.size, tried.get('e150'), Math.max(...sizes)], [300, 3, 50])
    assert.ok(Math.max(...[...tried].map(([id, times]) => (id === 'e150' ? 0 : times))) <= 2)
  })

  test(`an event of a high lane starts next, and low events still move under a flood of high (${backend.name})`, async (t) => {
    const started: string[] = []
    const gate = Promise.withResolvers<void>()
    const server = await startWith(t, await backend.home(t), {
      concurrency: 1,
      handle: async ({ priority }) => {
        started.push(priority)
        await gate.promise
      },
    })
    const client = clientOf(t, server)
    const publish = async (lane: 'high' | 'low', count: number) => {
      for (let each = 0; each < count; each++) await client.publishEvents([{ type: 'a', lane }])
    }
    await publish('low', 20)
    await eventually(() => assert.equal(started.length, 1))
    await publish('high', 60)
    gate.resolve()
    await allSettled(server)
    assert.deepEqual(started.slice(0, 3), ['low', 'high', 'high'])
    const firstLow = started.indexOf('low', 1)
    assert.ok(firstLow > 4 && firstLow < 40, `the next low event was number ${firstLow}`)
  })

  test(`what waits is ready, scheduled or in flight, and the status, the list and the metrics say how much (${backend.name})`, async (t) => {
    const gate = Promise.withResolvers<void>()
    cleanup(t, async () => gate.resolve())
    const server = await startWith(t, await backend.home(t), {
      concurrency: 1,
      handle: ({ type }) => (type === 'late' ? retry({ afterMs: 60_000 }) : gate.promise),
    })
    const client = clientOf(t, server)
    for (const type of ['late', 'slow', 'a', 'b', 'c']) await client.publishEvents([{ type }])

    const found = await eventually(async () => {
      const { topics } = await getStatus(server.http)
      const { waiting, ready, scheduled, in_flight: inFlight } = topics[0]!.groups.find(({ name }) => name === group)!
      assert.deepEqual({ ready, scheduled, inFlight }, { ready: 3, scheduled: 1, inFlight: 1 })
      return waiting
    })
    assert.equal(found, 5)
    const listed = await runCommand(['groups', 'list', '--topic', 'events'], { dataDir: server.dataDir })
    assert.match(listed.stdout, /^events +mailer +5 +3 +1 +0 +1 /m)
    const text = await metricsOf(server)
    assert.match(text, /^millrace_log_ready_events\{.*mailer.*\} 3$/m)
    assert.match(text, /^millrace_log_scheduled_events\{.*mailer.*\} 1$/m)
  })

  test(`the journey of an event shows where its time went, for each handler and attempt (${backend.name})`, async (t) => {
    const gate = Promise.withResolvers<void>()
    cleanup(t, async () => gate.resolve())
    const handle = ({ type }: HandledEvent, { attempt }: { readonly attempt: number }) => {
      if (type === 'order.slow') return gate.promise
      if (attempt === 1 || type === 'order.bad') throw new Error(`no address in attempt ${attempt}`)
      return undefined
    }
    const retries = { maxAttempts: 2, initialDelayMs: 5 }
    const home = await backend.home(t)
    const server = await startWith(t, home, { types: ['order.*'], retry: retries, handle })
    const client = clientOf(t, server)
    const types = ['order.paid', 'order.bad', 'order.slow', 'other.paid']
    for (const type of types) await client.publishEvents([{ id: type, source: '/shop', type }])
    /** The steps of each attempt, first those of none. */
    const stepsOf = async (id: string) => {
      const { text } = await request(server.http, `/v1/events/${id}?source=/shop`)
      const { steps } = JSON.parse(text).journey as { steps: readonly Record<string, string>[] }
      const times = steps.flatMap(({ at }) => at ?? [])
      assert.deepEqual(times, times.toSorted(), id)
      const attempts = Object.entries(Object.groupBy(steps, ({ attempt }) => attempt ?? ''))
      const textOf = ({ step, message }: Record<string, string>) =>
        message === undefined ? step : `${step} (${message})`
      return attempts.map(([attempt, own]) => [attempt, ...own!.map(textOf)].join(' ')).toSorted()
    }
    const failed = (attempt: number) =>
      `${attempt} handed_out begun failed (Error: no address in attempt ${attempt}) settled`
    const expected = {
      'order.paid': [' accepted landed', failed(1), '2 handed_out begun ended settled'],
      'order.bad': [' accepted dead (Error: no address in attempt 2) landed', failed(1), failed(2)],
      'order.slow': [' accepted landed', '1 handed_out begun'],
      'other.paid': [' accepted landed'],
    }
    for (const [id, steps] of Object.entries(expected)) {
      await eventually(async () => assert.deepEqual(await stepsOf(id), steps))
    }
    const words = ['journey', 'order.paid', '--source', '/shop']
    const { stdout } = await runCommand(words, { dataDir: server.dataDir })
    assert.match(
      stdout,
      /handed out +to group mailer, attempt 1\n.*begun .*failed +group mailer, attempt 1: internal: Error/s,
    )

    gate.resolve()
    await server.stop()
    await server.start()
    const message =
      'it waits for this group, or was delivered in another process, or before the last 10000 deliveries of this one'
    await eventually(async () => {
      assert.deepEqual(await stepsOf('order.paid'), [` accepted landed not_kept (${message})`])
    })
  })
}

test('the lines of a handler have the event, and the trace that it began in', async (t) => {
  const server = await startWith(t, null, {
    retry: { maxAttempts: 1 },
    handle: (_, { logger }) => {
      logger.warn({ stock: 0 }, 'the shelf is empty')
      throw new Error('no soup')
    },
  })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await clientOf(t, server).publishEvents([
    { id: 'order-1', type: 'order.paid', attributes: [['traceparent', traceparent]] },
  ])
  await allSettled(server)
  const ids = { trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: 'b7ad6b7169203331' }
  const lines = server.logLines().filter(({ group: own }) => own === group)
  assert.partialDeepStrictEqual(lines, [
    { topic: 'events', id: 'order-1', ...ids, stock: 0, message: 'the shelf is empty' },
    { topic: 'events', id: 'order-1', ...ids, attempt: 1, message: 'the handler ended with failed: Error: no soup' },
  ])
})

test('a handler that takes too long fails, its signal says why, and it keeps its place until it ends', async (t) => {
  const reasons: unknown[] = []
  let [atWork, most] = [0, 0]
  const server = await startWith(t, null, {
    concurrency: 1,
    timeoutMs: 20,
    retry: { maxAttempts: 2, initialDelayMs: 1 },
    handle: async (_, { signal }) => {
      most = Math.max(most, ++atWork)
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      await sleep(100)
      atWork--
    },
  })
  const client = clientOf(t, server)
  await client.publishEvents([{ type: 'a' }, { type: 'b' }])

  const { landed, dead: died } = await allSettled(server)
  assert.deepEqual([landed, died, most], [0, 2, 1])
  assert.deepEqual(reasons, Array(4).fill('timeout'))
  await eventually(async () => {
    const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
    assert.deepEqual(
      deadLetters.map(({ code, message }) => [code, message]),
      Array(2).fill(['deadline_exceeded', 'the handler took longer than 20 ms']),
    )
  })
})

test('a handler that blocks the process is named in the log and in the metrics', async (t) => {
  const server = await startWith(t, null, {
    handle: () => {
      for (const fromMs = performance.now(); performance.now() - fromMs < 1100; );
    },
  })
  await clientOf(t, server).publishEvents([{ type: 'a' }])
  await allSettled(server)
  const [line, ...more] = server.logLines().filter(({ blocked_ms: blocked }) => blocked !== undefined)
  assert.deepEqual([line?.level, line?.handlers, more], ['warn', ['events/mailer'], []])
  assert.match(
    String(line?.message),
    /^the handler mailer of events blocked the event loop for \d{4,} ms: .*isolate: true$/,
  )
  const metrics = await metricsOf(server)
  assert.match(metrics, /^millrace_handler_blocked_seconds_total\{topic="events",group="mailer"\} [1-9]/m)
})

test('a handler that shows progress may work far longer than its time limit', async (t) => {
  const server = await startWith(t, null, {
    timeoutMs: 300,
    retry: { maxAttempts: 1 },
    handle: async ({ type }, { progress }) => {
      for (let step = 0; step < 20; step++) {
        await sleep(50)
        if (type === 'moves') progress()
      }
    },
  })
  await clientOf(t, server).publishEvents([{ type: 'moves' }, { type: 'stands' }])
  const { landed, dead: died } = await allSettled(server)
  assert.deepEqual([landed, died], [1, 1])
})

test('a module that gives no usable handler is refused at the start, with its path and the fix', async (t) => {
  const directory = tempDirectory(t)
  const define = `import { defineHandler } from '${defineHandlerModule}'\nconst handle = () => undefined\n`
  const wrong: [name: string, text: string, says: RegExp][] = [
    ['syntax', 'export default {', /the module \S+syntax.ts cannot be loaded: /],
    ['throws', 'throw new Error("no config")', /cannot be loaded: no config/],
    ['empty', 'export const a = 1', /exports no handler: export what defineHandler\(\) returns/],
    [
      'option',
      `${define}export default defineHandler({ group: 'a', concurrency: 0, handle })`,
      /group "a": concurrency is 0/,
    ],
    [
      'topic',
      `${define}export default defineHandler({ group: 'a', topic: 'b', handle })`,
      /"b", which is not declared: add it to MILLRACE_TOPICS/,
    ],
    [
      'landing',
      `${define}export default defineHandler({ group: 'landing', handle })`,
      /the name of a group of the server/,
    ],
    [
      'twice',
      `${define}export const a = defineHandler({ group: 'a', handle })\nexport const b = defineHandler({ group: 'a', handle })`,
      /of topic events is defined twice/,
    ],
  ]
  for (const [name, text, says] of wrong) {
    const path = join(directory, `${name}.ts`)
    writeFileSync(path, text)
    await assert.rejects(startInProcess(t, { env: { MILLRACE_HANDLERS: path } }), { message: says }, name)
  }
  const path = join(directory, 'empty.ts')
  const { code, stderr } = await runCommandProcess(t, ['start', '--handlers', path], { dataDir: tempDirectory(t) })
  assert.equal(code, 1)
  assert.match(stderr, /exports no handler/)
})

test('the example does its orders, tries some twice and refuses some', async (t) => {
  const module = join(projectRoot, 'examples/order-handler.ts')
  const server = await startInProcess(t, { env: { MILLRACE_HANDLERS: module } })
  const orders = Array.from({ length: 100 }, (_, index) => ({ type: 'order.placed', data: { number: index + 1 } }))
  await clientOf(t, server).publishEvents(orders)

  const terms = await eventually(async () => {
    const { ledger } = await getStatus(server.http)
    const kitchen = ledger.find((line) => line.group === 'kitchen')!
    assert.equal(kitchen.waiting, 0)
    return kitchen
  })
  assert.deepEqual([terms.landed, terms.dead, terms.balanced], [98, 2, true])
})
