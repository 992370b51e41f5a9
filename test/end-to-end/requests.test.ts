// Requests and replies, in whole servers.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  dead,
  defineHandler,
  type HandledEvent,
  type HandleRequest,
  type MillraceError,
  type RequestHandlerOptions,
  retry,
} from '../../src/index.ts'
import { backends, type Home } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus, type HttpAnswer, metricsOf, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { rawConnection } from '../support/raw-http2.ts'
import { runCommand } from '../support/run-command.ts'
import { defineHandlerModule } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

type Headers = Readonly<Record<string, string>>

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
const counted = { words: 6, characters: 18, lines: 1 }

const post = (server: InProcessServer, type: string, body = '', headers: Headers = {}) =>
  request(server.http, `/v1/requests/${type}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain', ...headers },
  })

const problemOf = ({ status, text }: HttpAnswer) => {
  const { code, detail, field } = JSON.parse(text) as { code: string; detail: string; field?: string }
  return { status, code, detail, field }
}

/** A server with a handler of requests of the type `work`. */
const startWith = (
  t: TestContext,
  handle: HandleRequest,
  options: Partial<RequestHandlerOptions> = {},
  home: Partial<Home> = {},
): Promise<InProcessServer> =>
  startInProcess(t, { ...home, handlers: [defineHandler({ request: 'work', handle, ...options })] })

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (thrown) => (thrown as MillraceError).code,
  )

/** A gate that handlers wait at. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

for (const backend of backends('embedded', 'redis', 'cluster')) {
  const isShared = backend.name !== 'embedded'

  test(`text.analyze answers over HTTP, gRPC and the command line (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, home)
    const client = clientOf(t, server)

    const answer = await post(server, 'text.analyze', 'to be or not to be')
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, counted])
    assert.equal(answer.headers.get('content-type'), 'application/json')
    assert.equal(answer.headers.get('millrace-attempts'), '1')
    const id = answer.headers.get('millrace-request-id')!
    for (const query of ['', '?type=text.analyze']) {
      const again = await request(server.http, `/v1/requests/${id}${query}`)
      assert.deepEqual([again.status, again.text, again.headers.get('millrace-request-id')], [200, answer.text, id])
    }

    const reply = await client.request({ type: 'text.analyze', data: { text: 'to be or not to be' } })
    assert.deepEqual([reply.json(), reply.attempts], [counted, 1])
    const printed = await runCommand(['request', 'text.analyze', 'to be or not to be'], {
      dataDir: server.dataDir,
      env: { ...home.env, MILLRACE_ADDRESS: server.grpc },
    })
    assert.deepEqual([printed.stdout, printed.code], [`${JSON.stringify(counted)}\n`, 0])
    const refused = post(server, 'text.analyze', '{"txet":""}', { 'content-type': 'application/json' })
    assert.equal(problemOf(await refused).code, 'failed_precondition')
  })

  test(`64 requests at once each get their own reply (${backend.name})`, async (t) => {
    const server = await startWith(t, ({ text }) => ({ to: text() }), {}, await backend.home(t))
    const client = clientOf(t, server)
    const replies = await Promise.all(
      Array.from({ length: 64 }, (_, number) => client.request({ type: 'work', data: `number ${number}` })),
    )
    for (const [number, reply] of replies.entries()) assert.deepEqual(reply.json(), { to: `number ${number}` })
    const line = (await server.ledger()).find(({ topic }) => topic === '_request.work')!
    assert.deepEqual([line.landed, line.waiting, line.balanced], [64, 0, true])
  })

  test(`an id is answered once: the same request joins, another one is refused (${backend.name})`, async (t) => {
    const { opened, open } = gate()
    let calls = 0
    const handle = async ({ text }: HandledEvent) => {
      calls++
      await opened
      return `done: ${text()}`
    }
    const home = await backend.home(t)
    const server = await startWith(t, handle, {}, home)
    // On Redis from another process too, which gets no announcement of the reply.
    const other = isShared ? await startInProcess(t, { ...home, dataDir: tempDirectory(t) }) : server
    const first = post(server, 'work', 'a', { 'millrace-request-id': 'one', traceparent })
    await eventually(() => assert.equal(calls, 1))
    const joined = post(other, 'work', 'a', { 'millrace-request-id': 'one' })
    const waiting = request(other.http, '/v1/requests/one', { headers: { prefer: 'wait=20' } })
    const refused = problemOf(await post(other, 'work', 'b', { 'millrace-request-id': 'one' }))
    assert.deepEqual([refused.status, refused.code, refused.field], [400, 'failed_precondition', 'request_id'])
    const running = await request(other.http, '/v1/requests/one')
    assert.deepEqual([running.status, JSON.parse(running.text)], [202, { request_id: 'one', stage: 'started' }])

    open()
    for (const answer of await Promise.all([first, joined, waiting]))
      assert.deepEqual([answer.status, answer.text], [200, 'done: a'])
    assert.equal((await post(other, 'work', 'a', { 'millrace-request-id': 'one' })).text, 'done: a')
    assert.equal(calls, 1)
  })

  test(`a server that stops while a request runs leaves its reply to be fetched (${backend.name})`, async (t) => {
    const { opened, open } = gate()
    const home = await backend.home(t)
    const handle = async () => {
      await opened
      return 'late, but there'
    }
    const drainMs = { MILLRACE_DRAIN_MS: '1000' }
    const worker = isShared
      ? await startWith(t, handle, {}, { ...home, env: { ...home.env, MILLRACE_ROLES: 'worker' } })
      : null
    const ingest = { ...home, dataDir: tempDirectory(t), env: { ...home.env, ...drainMs, MILLRACE_ROLES: 'ingest' } }
    const server =
      worker === null ? await startWith(t, handle, {}, { ...home, env: drainMs }) : await startInProcess(t, ingest)
    const cut = post(server, 'work', '', { 'millrace-request-id': 'kept' })
    await eventually(async () => {
      const { text } = await request(server.http, '/v1/requests/kept?type=work')
      assert.equal(JSON.parse(text).stage, 'started')
    })
    await server.stop()
    assert.equal(problemOf(await cut).code, 'unavailable')

    open()
    await server.start()
    const kept = await request(server.http, '/v1/requests/kept', { headers: { prefer: 'wait=20' } })
    assert.deepEqual([kept.status, kept.text], [200, 'late, but there'])
  })
}

test('what a handler returns is the reply, and its failures are told to the caller', async (t) => {
  const returns: Record<string, () => unknown> = {
    text: () => 'grüße',
    object: () => ({ a: [1, null] }),
    number: () => 7,
    bytes: () => Uint8Array.of(0, 255),
    nothing: () => undefined,
    refusal: () => dead('that is no order'),
    large: () => 'x'.repeat(1024 * 1024),
    function: () => () => {},
    failure: () => {
      throw new Error('the shop is closed')
    },
  }
  let tries = 0
  const handle = ({ text }: HandledEvent) => {
    if (text() === 'second try') return ++tries === 1 ? retry({ afterMs: 1 }) : 'now'
    return returns[text()]!()
  }
  const server = await startWith(t, handle, { retry: { maxAttempts: 2, initialDelayMs: 1 } })
  const client = clientOf(t, server)
  const ask = async (data: string) => {
    const { dataContentType, attempts, text } = await client.request({ type: 'work', data })
    return [text(), dataContentType, attempts]
  }
  assert.deepEqual(await ask('text'), ['grüße', 'text/plain; charset=utf-8', 1])
  assert.deepEqual(await ask('object'), ['{"a":[1,null]}', 'application/json', 1])
  assert.deepEqual(await ask('number'), ['7', 'application/json', 1])
  assert.deepEqual(await ask('nothing'), ['', '', 1])
  assert.deepEqual(await ask('second try'), ['now', 'text/plain; charset=utf-8', 2])
  const { data, dataContentType } = await client.request({ type: 'work', data: 'bytes' })
  assert.deepEqual([[...data], dataContentType], [[0, 255], 'application/octet-stream'])

  const fails = (data: string, code: string, message: RegExp) =>
    assert.rejects(ask(data), (error: MillraceError) => error.code === code && message.test(error.message))
  await fails('refusal', 'failed_precondition', /that is no order$/)
  await fails('large', 'failed_precondition', /the reply has 1048576 bytes; the limit is 1032192$/)
  await fails('failure', 'internal', /^all 2 attempts .* the last one with internal: Error: the shop is closed$/)
  await fails('function', 'internal', /the handler returned a function, which has no JSON form$/)
  assert.equal((await post(server, 'work', 'failure')).status, 500)
  const levels = server.logLines().flatMap(({ code, level, message }) => {
    return code === 'internal' && /^(request|call) failed$/.test(String(message)) ? [level] : []
  })
  assert.deepEqual(levels, ['warn', 'warn', 'warn'], 'it is the worker that has failed')
  // Only what no attempt could answer is left for an operator.
  await eventually(async () => {
    const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
    assert.deepEqual(
      deadLetters.map(({ topic, group, code }) => [topic, group, code]),
      [1, 2, 3].map(() => ['_request.work', 'responders', 'internal']),
    )
  })
})

test('a request is skipped after its deadline and uses up no rate, and a reply after it counts as late', async (t) => {
  const { opened, open } = gate()
  const begun: string[] = []
  const handle = async ({ text }: HandledEvent) => {
    begun.push(text())
    await opened
    return 'too late'
  }
  const server = await startWith(t, handle, { concurrency: 1, ratePerSecond: 1 })
  const late = await post(server, 'work', 'late', { prefer: 'wait=1', 'millrace-request-id': 'a/1' })
  assert.deepEqual([late.status, late.headers.get('location')], [504, '/v1/requests/a%2F1?type=work'])
  const skippedIds = Array.from({ length: 12 }, (_, number) => `b${number}`)
  const ask = (id: string) => post(server, 'work', 'skipped', { prefer: 'wait=1', 'millrace-request-id': id })
  for (const [index, skipped] of (await Promise.all(skippedIds.map(ask))).entries()) {
    const { code } = problemOf(skipped)
    assert.deepEqual([code, skipped.headers.get('millrace-request-id')], ['deadline_exceeded', `b${index}`])
  }

  open()
  const next = within(5000, 'the next reply', post(server, 'work', 'next'))
  for (const id of ['a%2F1', ...skippedIds]) {
    await eventually(async () => assert.equal((await request(server.http, `/v1/requests/${id}`)).status, 504))
  }
  assert.equal((await next).text, 'too late')
  assert.deepEqual(begun, ['late', 'next'])
  const text = await metricsOf(server)
  assert.match(text, /^millrace_replies_late_total\{topic="_request.work"\} 1$/m)
  assert.match(text, /^millrace_requests_expired_total\{topic="_request.work"\} 12$/m)
})

test('a caller need not wait: the answer is where to find the reply', async (t) => {
  const { opened, open } = gate()
  const handle = async () => {
    await opened
    return { done: true }
  }
  const server = await startWith(t, handle)
  const sent = await post(server, 'work', 'x', { prefer: 'respond-async' })
  const location = sent.headers.get('location')!
  assert.deepEqual([sent.status, sent.headers.get('preference-applied')], [202, 'respond-async'])
  const later = await request(server.http, location)
  assert.deepEqual([later.status, 'request_id' in JSON.parse(later.text)], [202, true])
  const short = await post(server, 'work', 'y', { prefer: 'respond-async, wait=1' })
  assert.deepEqual([short.status, short.headers.get('preference-applied')], [202, 'respond-async, wait=1'])
  const command = { dataDir: server.dataDir }
  const id = (await runCommand(['request', 'work', 'z', '--no-wait'], command)).stdout.trim()
  const early = await runCommand(['request', 'work', '--reply', id, '--wait', '1', '--output', 'json'], command)
  assert.deepEqual([JSON.parse(early.stdout).request_id, early.code], [id, 1])

  open()
  const reply = await request(server.http, location, { headers: { prefer: 'wait=10' } })
  assert.deepEqual([reply.status, reply.text], [200, '{"done":true}'])
  const printed = await runCommand(['request', 'work', '--reply', id, '--output', 'json'], command)
  assert.deepEqual(JSON.parse(printed.stdout), {
    ...{ request_id: id, content_type: 'application/json', attempts: 1, data: { done: true } },
  })
})

test('a wait ends when its client has gone, and not when that has only ended its side', async (t) => {
  const { opened, open } = gate()
  const server = await startWith(t, () => opened.then(() => 'the reply'))
  const head = 'HTTP/1.1\r\nHost: localhost\r\n'
  const post = `POST /v1/requests/work ${head}Content-Length: 0\r\nMillrace-Request-Id: one\r\n\r\n`
  const get = `GET /v1/requests/one ${head}Prefer: wait=60\r\n\r\n`
  const stays = await rawConnection(t, server.http)
  stays.socket.end(post)
  await eventually(async () => assert.equal((await request(server.http, '/v1/requests/one')).status, 202))
  const gone = [await rawConnection(t, server.http), await rawConnection(t, server.http)]
  for (const [index, text] of [post, get].entries()) gone[index]!.socket.write(text)
  await sleep(200)
  for (const { socket } of gone) socket.destroy()
  const openConnections = async () => {
    const text = await metricsOf(server)
    return Number(/^millrace_open_connections\{transport="http"\} (\d+)$/m.exec(text)?.[1])
  }
  // The one that stays, and that of this question.
  await eventually(async () => assert.equal(await openConnections(), 2))
  open()
  await eventually(() => assert.match(stays.received().toString(), /the reply/))
})

test('requests that wait leave the other calls of their client room', async (t) => {
  const { opened, open } = gate()
  const server = await startWith(t, () => opened)
  const client = clientOf(t, server)
  const waiting = Array.from({ length: 120 }, () => client.request({ type: 'work' }))
  await eventually(async () => {
    const { topics } = await within(5000, 'a status', client.status())
    assert.equal(topics.find(({ name }) => name === '_request.work')?.groups[0]?.waiting, 120)
  })
  open()
  assert.equal((await Promise.all(waiting)).length, 120)
})

test('a type that nobody serves is refused at once, and its state says so', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  assert.deepEqual(
    [await codeOf(client.request({ type: 'work' })), (await post(server, 'work')).status],
    ['unavailable', 503],
  )
  const stateOf = async () => {
    const { topics } = await getStatus(server.http)
    return topics.find(({ name }) => name === '_request.work')?.groups[0]?.state.is
  }
  assert.equal(await stateOf(), undefined)

  const worker = client.work({ request: 'work', handle: ({ json }) => ({ got: json() }) })
  cleanup(t, () => worker.close({ withinMs: 100 }))
  const reply = await eventually(() => client.request({ type: 'work', data: [1] }))
  assert.deepEqual(reply.json(), { got: [1] })
  await eventually(async () => assert.equal(await stateOf(), 'running'))
  await worker.close()
  await eventually(async () => {
    // For 100 ms after a request the type counts as served: one that comes then waits for its deadline.
    assert.equal(await codeOf(client.request({ type: 'work' }, { deadlineMs: 500 })), 'unavailable')
    assert.equal(await stateOf(), 'no_worker')
  })
})

test('a reply with a content type over the limit is refused', async (t) => {
  const server = await startInProcess(t)
  const consuming = grpcClient(t, server).consume()
  consuming.send({ join: { request: 'work', maxInFlight: 1 } })
  const reply = { data: Buffer.from('x'), dataContentType: 'x'.repeat(256) }
  consuming.onDelivery = ({ delivery }) =>
    consuming.send({ outcomes: [{ delivery, end: { case: 'done', value: {} }, reply }] })
  await consuming.joined
  const { code, detail } = problemOf(await post(server, 'work'))
  assert.equal(code, 'failed_precondition')
  assert.match(detail, /the content type of the reply has 256 bytes; the limit is 255$/)
})

test('a worker in another process answers with replies of any size up to the limit', async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const bytes = { most: 1024 * 1024 - 16 * 1024, 'too many': 1024 * 1024 - 16 * 1024 + 1 }
  const handle = ({ text }: HandledEvent) => new Uint8Array(bytes[text() as keyof typeof bytes])
  const worker = client.work({ request: 'work', handle })
  cleanup(t, () => worker.close({ withinMs: 100 }))
  await eventually(() => client.sendRequest({ type: 'work', data: 'most' }))
  const replies = await Promise.all([1, 2, 3, 4, 5, 6].map(() => client.request({ type: 'work', data: 'most' })))
  for (const { data } of replies) assert.equal(data.length, bytes.most)
  assert.equal(await codeOf(client.request({ type: 'work', data: 'too many' })), 'failed_precondition')
})

test('the reply of an isolated handler comes out of its thread', async (t) => {
  const module = join(tempDirectory(t), 'handler.ts')
  writeFileSync(
    module,
    `import { defineHandler } from '${defineHandlerModule}'
    import { threadId } from 'node:worker_threads'
    export default defineHandler({ request: 'thread', isolate: true, handle: ({ text }) => ({ [text()]: threadId }) })`,
  )
  const server = await startInProcess(t, { env: { MILLRACE_HANDLERS: module } })
  const reply = await clientOf(t, server).request({ type: 'thread', data: 'in' })
  assert.ok((reply.json() as { in: number }).in > 0)
})

test('bad requests name the field and the fix, and nothing is stored', async (t) => {
  const server = await startWith(t, () => 'ok')
  const client = clientOf(t, server)
  const refused = async (type: string, body: string, headers: Headers = {}) => {
    const { status, code, field } = problemOf(await post(server, type, body, headers))
    return [status, code, field]
  }
  const json = { 'content-type': 'application/json' }
  assert.deepEqual(await refused('Work', ''), [400, 'invalid_event', 'type'])
  assert.deepEqual(await refused('work', '{', json), [400, 'invalid_event', 'data'])
  assert.deepEqual(await refused('work', 'x'.repeat(1_032_193)), [413, 'message_too_large', 'body'])
  assert.deepEqual(await refused('work', '', { 'millrace-request-id': 'a b' }), [400, 'invalid_event', 'request_id'])
  assert.deepEqual(await refused('work', '', { prefer: 'wait=soon' }), [400, 'invalid_event', 'prefer'])
  assert.equal((await request(server.http, '/v1/requests/never-sent')).status, 404)
  const withAttributes = (attributes: Record<string, string>) => client.request({ type: 'work', attributes })
  const many = Object.fromEntries(Array.from({ length: 63 }, (_, number) => [`a${number}`, '']))
  for (const attributes of [{ millraceinbox: 'mine' }, many])
    await assert.rejects(withAttributes(attributes), { code: 'invalid_event', field: 'attributes' })
  const tooLarge = { type: 'work', data: 'x'.repeat(1_032_000), attributes: { a: 'x'.repeat(1000) } }
  await assert.rejects(client.request(tooLarge), { code: 'event_too_large', field: 'data' })
  const line = (await server.ledger()).find(({ topic }) => topic === '_request.work')!
  assert.equal(line.accepted, 0)
})

test("the topics of requests are nobody else's, and a type has one handler", async (t) => {
  const server = await startInProcess(t)
  const client = clientOf(t, server)
  const topic = '_request.text.analyze'
  assert.equal(await codeOf(client.publishEvents([{ type: 'a' }], { topic })), 'invalid_event')
  const joining = grpcClient(t, server).consume()
  joining.send({ join: { topic, group: 'mine', maxInFlight: 1 } })
  assert.match((await joining.ended).details, /^join.topic: topic "_request.text.analyze" is not declared/)
  const builtIn = client.work({ request: 'text.analyze', handle: () => 'mine' })
  await assert.rejects(
    builtIn.ended,
    /^MillraceError: join.request is text.analyze, which a handler of this server answers/,
  )
  const handler = defineHandler({ request: 'text.analyze', handle: () => 'mine' })
  await assert.rejects(
    startInProcess(t, { handlers: [handler] }),
    /the handler of request text.analyze is defined twice, or built in/,
  )
  await assert.rejects(startInProcess(t, { env: { MILLRACE_TOPICS: topic } }), /MILLRACE_TOPICS/)
})

test('the log has a line for each request and for each failure of its handler, with its id and trace', async (t) => {
  const handle = (_: HandledEvent, { attempt }: { readonly attempt: number }) => {
    if (attempt === 1) throw new Error('not yet')
    return 'ok'
  }
  const server = await startWith(t, handle, { retry: { initialDelayMs: 1 } })
  assert.equal((await post(server, 'work', '', { traceparent, 'millrace-request-id': 'r-1' })).text, 'ok')
  await sleep(0)
  const lines = server.logLines().filter(({ request_id }) => request_id === 'r-1')
  assert.deepEqual(
    lines.map(({ level, message, trace_id, attempts }) => ({ level, message, trace_id, attempts })),
    [
      {
        level: 'warn',
        message: 'the handler ended with failed: Error: not yet',
        trace_id: traceId,
        attempts: undefined,
      },
      { level: 'info', message: 'request replied', trace_id: traceId, attempts: 2 },
    ],
  )
})
