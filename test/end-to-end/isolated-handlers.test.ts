// Handlers in threads of their own, in a whole server: whatever they do, the process goes on.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { defineHandler } from '../../src/index.ts'
import { backends, type Home, inLongRun } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus, metricsOf } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { defineHandlerModule } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const group = 'mailer'

/** Starts a server in this process with a module of isolated handlers, in which `note(text)` writes a line. */
async function startIsolated(t: TestContext, body: string, home: Partial<Home> = {}) {
  const directory = tempDirectory(t)
  const notes = join(directory, 'notes')
  // In TypeScript each thread would load Node's compiler for it first.
  const module = join(directory, 'handler.mjs')
  writeFileSync(
    module,
    `import { appendFileSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { dead, defineHandler, retry } from '${defineHandlerModule}'
    const note = (text) => appendFileSync('${notes}', text + '\\n')
    ${body}`,
  )
  const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_HANDLERS: module } })
  const read = () => (existsSync(notes) ? readFileSync(notes, 'utf8').trimEnd().split('\n') : [])
  return { server, notes: read, directory }
}

async function settled(server: InProcessServer) {
  return await eventually(
    async () => {
      const line = (await server.ledger()).find((each) => each.group === group)!
      assert.equal(line.waiting, 0)
      return { landed: line.landed, dead: line.dead, balanced: line.balanced }
    },
    { withinMs: 60_000 },
  )
}

async function lettersOf(t: TestContext, server: InProcessServer, count: number) {
  return await eventually(async () => {
    const { deadLetters } = await clientOf(t, server).administration.listDeadLetters({ limit: 10 })
    assert.equal(deadLetters.length, count)
    return deadLetters.map(({ type, code, message, attempts }) => ({ type, code, message, attempts }))
  })
}

for (const backend of backends('embedded', ...inLongRun('redis'))) {
  test(`an event that ends its thread is dead after its attempts, and 99 others are done (${backend.name})`, async (t) => {
    const { server, notes } = await startIsolated(
      t,
      `export default defineHandler({
        group: '${group}',
        isolate: true,
        concurrency: 16,
        retry: { maxAttempts: 4, initialDelayMs: 5, maxDelayMs: 10 },
        async handle({ id, type }, { attempt }) {
          note(id + ' begins ' + attempt)
          await sleep(2)
          if (type === 'killer') process.exit(9)
          note(id + ' ends')
        },
      })`,
      await backend.home(t),
    )
    const events = Array.from({ length: 100 }, (_, id) => ({ id: `e${id}`, type: id === 30 ? 'killer' : 'a' }))
    await clientOf(t, server).publishEvents(events)

    assert.deepEqual(await settled(server), { landed: 99, dead: 1, balanced: true })
    assert.deepEqual(await lettersOf(t, server, 1), [
      {
        ...{ type: 'killer', code: 'internal', attempts: 4 },
        message: 'the thread of the handler ended while it worked on the event: exit code 9',
      },
    ])
    const lines = notes()
    assert.equal(lines.filter((line) => line.startsWith('e30 begins')).length, 4)
    // It takes neighbours with it once; from then on each of them, and it, runs alone.
    const attempts = lines.flatMap((line) => / begins (\d+)/.exec(line)?.[1] ?? [])
    const again = attempts.filter((attempt) => attempt !== '1').length
    assert.ok(again <= 15 + 3, `${again} further attempts`)
    for (const [index, line] of lines.entries()) {
      const [, id] = / begins [2-9]/.test(line) ? (/^(\S+)/.exec(line) ?? []) : []
      const next = lines[index + 1]
      if (id !== undefined && id !== 'e30') assert.equal(next, `${id} ends`)
    }
  })
}

test('a call that never lets its thread turn is timed out, its thread is ended, and the others are done', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      concurrency: 4,
      timeoutMs: 200,
      retry: { maxAttempts: 2, initialDelayMs: 5 },
      async handle({ type }, { attempt }) {
        note(type + ' ' + attempt)
        while (type === 'loop');
        await sleep(20)
      },
    })`,
  )
  let turns = 0
  const turning = setInterval(() => turns++, 20)
  cleanup(t, async () => clearInterval(turning))
  const events = Array.from({ length: 60 }, (_, id) => ({ id: `e${id}`, type: id === 3 ? 'loop' : 'a' }))
  await clientOf(t, server).publishEvents(events)

  assert.deepEqual(await settled(server), { landed: 59, dead: 1, balanced: true })
  // Two attempts of 200 ms and 200 ms more, in which this loop has turned.
  assert.ok(turns >= 20, `${turns} turns`)
  // Only what was at work beside its first attempt is tried again.
  const again = notes().filter((line) => line === 'a 2').length
  assert.ok(again <= 3, `${again} others were tried again`)
  const [letter] = await lettersOf(t, server, 1)
  assert.deepEqual([letter?.code, letter?.message], ['deadline_exceeded', 'the handler took longer than 200 ms'])
  const warned = server
    .logLines()
    .filter(({ message }) => String(message).startsWith('the thread of the handler ended'))
  assert.deepEqual(
    warned.map(({ message, topic, group: of }) => [message, topic, of]),
    Array(2).fill(['the thread of the handler ended: a call went on for 200 ms after its time limit', 'events', group]),
  )
})

test('what waits for a thread that never turns keeps its attempt and its time', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      concurrency: 2,
      timeoutMs: 300,
      retry: { maxAttempts: 2, initialDelayMs: 5 },
      handle({ id, type }, { attempt }) {
        note(id + ' ' + attempt)
        while (type === 'loop');
      },
    })`,
  )
  const client = clientOf(t, server)
  await client.publishEvents([{ id: 'first', type: 'loop' }])
  await eventually(() => assert.deepEqual(notes(), ['first 1']))
  await client.publishEvents([{ id: 'second', type: 'a' }])
  assert.deepEqual(await settled(server), { landed: 1, dead: 1, balanced: true })
  assert.deepEqual(notes().toSorted(), ['first 1', 'first 2', 'second 1'])
})

test('what a handler leaves behind ends its thread when that never turns again, and costs no event an attempt', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      concurrency: 2,
      timeoutMs: 50,
      retry: { maxAttempts: 1 },
      async handle({ id, type }) {
        note(id)
        if (type === 'leaves a loop') setTimeout(() => { while (true); })
      },
    })`,
  )
  const client = clientOf(t, server)
  for (const type of ['leaves a loop', 'a', 'b']) await client.publishEvents([{ id: type, type }])
  assert.deepEqual(await settled(server), { landed: 3, dead: 0, balanced: true })
  assert.deepEqual(notes(), ['leaves a loop', 'a', 'b'])
  assert.match(server.stderr, /the thread of the handler ended: it has not turned for 1100 ms/)
})

test('an uncaught error and a heap without end cost only their own event', async (t) => {
  const { server } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      concurrency: 1,
      timeoutMs: 60_000,
      retry: { maxAttempts: 1 },
      async handle({ type }) {
        if (type === 'throws later') {
          setTimeout(() => { throw new Error('too late') })
          await sleep(60_000)
        }
        // 4 MB in 10 ms: faster growth could reach V8's own limit before the process looks.
        const [kept, still] = [[], new Int32Array(new SharedArrayBuffer(4))]
        while (type === 'grows') {
          kept.push(new Array(500_000).fill(0.5))
          Atomics.wait(still, 0, 0, 10)
        }
      },
    })`,
  )
  const types = ['a', 'throws later', 'b', 'grows', 'c']
  const client = clientOf(t, server)
  for (const type of types) await client.publishEvents([{ type }])
  assert.deepEqual(await settled(server), { landed: 3, dead: 2, balanced: true })
  const letters = await lettersOf(t, server, 2)
  const messages = Object.fromEntries(letters.map(({ type, message }) => [type, message]))
  assert.match(messages['throws later']!, /ended while it worked on the event: Error: too late$/)
  assert.match(messages.grows!, /ended while it worked on the event: its heap has grown above 768 MiB$/)
})

test('in a thread an event and the context are what they are in the process', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export const single = defineHandler({
      group: '${group}',
      isolate: true,
      timeoutMs: 250,
      retry: { maxAttempts: 3, initialDelayMs: 1 },
      async handle(event, { attempt, trace, signal, logger, progress, publish }) {
        const { id, type, priority, key } = event
        if (type === 'facts') {
          note(JSON.stringify([id, priority, key, event.attributes.a, trace, event.json(), event.data.length, event.time.getTime(), attempt]))
          logger.info({ by: 'hand', error: Object.assign(new RangeError('out'), { code: 'x' }), run() {} }, 'a line')
          await publish({ id: 'next', type: 'next', data: { n: 1 } })
          await publish({ type: '' }).catch(({ code, field, message }) => note(JSON.stringify([code, field, message])))
          if (attempt === 1) return retry({ afterMs: 1 })
          return dead('seen twice')
        }
        if (type === 'moves') for (let step = 0; step < 12; step++, progress()) await sleep(50)
        if (type === 'stands') {
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          note('aborted: ' + signal.reason)
        }
      },
    })
    export const batches = defineHandler({
      group: 'batches',
      isolate: true,
      batch: { maxEvents: 10, maxWaitMs: 200 },
      handle: (events) => {
        note('batch of ' + events.length)
        return events.map((event) => ({ event, outcome: undefined }))
      },
    })`,
  )
  const facts = { id: 'f', type: 'facts', lane: 'high', key: 'k', timeMicros: 5_000_000, data: { n: 7 } } as const
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const attributes = Object.entries({ a: 'b', traceparent })
  await clientOf(t, server).publishEvents([{ ...facts, attributes }, { type: 'moves' }, { type: 'stands' }])

  assert.deepEqual(await settled(server), { landed: 3, dead: 2, balanced: true })
  const lines = notes()
  const trace = { traceparent, tracestate: '' }
  const seen = (attempt: number) => JSON.stringify(['f', 'high', 'k', 'b', trace, { n: 7 }, 7, 5000, attempt])
  assert.ok(lines.includes(seen(1)) && lines.includes(seen(2)), lines.join('\n'))
  const refused = JSON.parse(lines.find((line) => line.includes('invalid_event'))!)
  assert.deepEqual(refused.slice(0, 2), ['invalid_event', 'events[0]'])
  assert.match(refused[2], /type is empty/)
  assert.equal(lines.filter((line) => line === 'aborted: timeout').length, 3)
  assert.ok(lines.some((line) => line.startsWith('batch of ')))
  const line = server.logLines().find(({ message }) => message === 'a line')
  const { by, id, topic, error, level } = line as Record<string, Record<string, unknown>>
  assert.deepEqual([by, id, topic, level, error?.type, error?.code], ['hand', 'f', 'events', 'info', 'RangeError', 'x'])
})

test('in a thread nothing is published after the time limit, also when the attempt has ended or the thread did not turn', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      types: ['ends', 'blocks'],
      timeoutMs: 400,
      concurrency: 1,
      retry: { maxAttempts: 1 },
      async handle({ type }, { signal, publish }) {
        const late = () => publish({ type: 'late' }).then(() => note('published'), ({ code }) => note(type + ' ' + code))
        if (type === 'ends') {
          signal.addEventListener('abort', () => setTimeout(late, 10))
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        }
        for (const until = Date.now() + 600; Date.now() < until; );
        await late()
      },
    })`,
  )
  const client = clientOf(t, server)
  for (const type of ['ends', 'blocks']) await client.publishEvents([{ type }])
  await settled(server)
  await eventually(() => assert.deepEqual(notes().toSorted(), ['blocks deadline_exceeded', 'ends deadline_exceeded']))
})

test('a block of the event loop of the process is not blamed on a thread that moves', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      timeoutMs: 300,
      retry: { maxAttempts: 1 },
      async handle({ id, type }, { progress }) {
        note(type + ' begins')
        for (let step = 0; step < 20; step++, progress()) await sleep(100)
        note(type + ' ends')
      },
    })`,
  )
  await clientOf(t, server).publishEvents([{ type: 'a' }])
  await eventually(() => assert.deepEqual(notes(), ['a begins']))
  // Behind the reading of messages: the timers run before the next one.
  await new Promise(setImmediate)
  for (const until = performance.now() + 1700; performance.now() < until; );
  assert.deepEqual(await settled(server), { landed: 1, dead: 0, balanced: true })
  assert.deepEqual(notes(), ['a begins', 'a ends'])
})

test('a stop ends a thread that does not let go, and what was at work in it is tried again', async (t) => {
  const { server, notes } = await startIsolated(
    t,
    `export default defineHandler({
      group: '${group}',
      isolate: true,
      handle({ id }, { attempt }) {
        note(id + ' ' + attempt)
        while (true);
      },
    })`,
    { env: { MILLRACE_DRAIN_MS: '1000' } },
  )
  await clientOf(t, server).publishEvents([{ id: 'a', type: 'a' }])
  await eventually(() => assert.equal(notes().length, 1))
  await server.stop()
  await server.start()
  await eventually(() => assert.deepEqual(notes(), ['a 1', 'a 1']))
})

test('while the thread cannot start again the handler takes nothing, and no event loses an attempt for it', async (t) => {
  const { server, notes, directory } = await startIsolated(
    t,
    `import { existsSync, writeFileSync } from 'node:fs'
    const down = new URL('down', import.meta.url)
    if (existsSync(down)) throw new Error('the database is not there')
    export default defineHandler({
      group: '${group}',
      isolate: true,
      concurrency: 4,
      retry: { maxAttempts: 2, initialDelayMs: 5 },
      handle({ id, type }, { attempt }) {
        note(id + ' ' + attempt)
        if (type !== 'killer' || attempt > 1) return
        writeFileSync(down, '')
        process.exit(9)
      },
    })`,
  )
  const reason = /^the thread of the handler cannot start: .*the database is not there$/
  const groupNow = async () => {
    const { topics, causes } = await getStatus(server.http)
    const { state } = topics[0]!.groups.find(({ name }) => name === group)!
    return { state, causes }
  }
  await clientOf(t, server).publishEvents([
    { id: 'k', type: 'killer' },
    ...Array.from({ length: 50 }, () => ({ type: 'a' })),
  ])
  await eventually(async () => {
    const { state, causes } = await groupNow()
    assert.deepEqual([state.is, state.by], ['outage', 'system'])
    assert.match(state.reason!, reason)
    assert.match(
      causes.map(({ message }) => message).join(),
      /mailer of events: the thread of the handler cannot start/,
    )
  })
  // Three starts fail, and nothing is worked on meanwhile.
  const begun = notes().length
  await eventually(async () => {
    const text = await metricsOf(server)
    const ended = Number(/^millrace_handler_threads_ended_total.*"mailer".* (\d+)$/m.exec(text)?.[1])
    assert.ok(ended >= 4, `${ended} threads`)
  })
  assert.equal(notes().length, begun)
  rmSync(join(directory, 'down'))
  assert.deepEqual(await settled(server), { landed: 51, dead: 0, balanced: true })
  await eventually(async () => assert.equal((await groupNow()).state.is, 'running'))
  assert.equal(
    server.logLines().filter(({ message }) => reason.test(String(message).replace('; retrying', ''))).length,
    1,
  )
})

test('an isolated handler that a thread cannot import is refused at the start, by name', async (t) => {
  const handler = defineHandler({ group, isolate: true, handle: () => undefined })
  await assert.rejects(startInProcess(t, { handlers: [handler] }), {
    code: 'failed_precondition',
    message:
      'the handler of group mailer is to be isolated, but a thread cannot import a function: name its module in MILLRACE_HANDLERS',
  })
  const onlyHere = `import { isMainThread } from 'node:worker_threads'
    if (!isMainThread) throw new Error('not in a thread')
    export default defineHandler({ group: '${group}', isolate: true, handle: () => undefined })`
  await assert.rejects(startIsolated(t, onlyHere), {
    code: 'failed_precondition',
    message: /^the handler of group mailer cannot run in a thread: file:.*handler\.mjs: not in a thread$/,
  })
})
