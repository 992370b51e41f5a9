// Spans in a collector: what one event, a batch and a request leave there.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { defineHandler, type HandlerContext } from '../../src/index.ts'
import { sdkPackages } from '../../src/telemetry/open-telemetry.ts'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { projectRoot, startServer } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { type CollectedSpan, startTraceCollector, type TraceCollector } from '../support/trace-collector.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanIdOf = (digit: string) => digit.repeat(16)
const traceparentOf = (digit: string) => `00-${traceId}-${spanIdOf(digit)}-01`

const envOf = ({ endpoint }: TraceCollector) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })

/** The only span of this name and, if one is given, this group. */
function find({ spans }: TraceCollector, name: string, group?: string): CollectedSpan {
  const found = spans.filter(
    (span) => span.name === name && (group === undefined || span.attributes['messaging.consumer.group.name'] === group),
  )
  assert.equal(found.length, 1, `${found.length} spans ${name} ${group ?? ''}`)
  return found[0]!
}

function post(
  server: Pick<InProcessServer, 'http'>,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
) {
  const all = { 'content-type': 'application/json', ...headers }
  return request(server.http, path, { method: 'POST', body: JSON.stringify(body), headers: all })
}

const landed = (server: Pick<InProcessServer, 'http'>, count: number) =>
  eventually(async () => {
    const { text } = await request(server.http, '/v1/events?limit=1000')
    assert.equal(JSON.parse(text).events.length, count)
  })

for (const backend of backends('embedded', 'redis')) {
  test(`one event is one trace, from the call of curl to its row and its handler, over two processes where there are (${backend.name})`, async (t) => {
    const collector = await startTraceCollector(t)
    const home = await backend.home(t)
    let ofHandler: HandlerContext['trace'] = null
    const hasLanded = Promise.withResolvers<void>()
    const handler = defineHandler({
      group: 'mailer',
      type: 'order.paid',
      async handle(_, { trace, logger, publish }) {
        ofHandler = trace
        logger.info('a line')
        // Otherwise both could land in one transaction, which is a trace of its own.
        await hasLanded.promise
        await publish({ type: 'mail.wanted' })
      },
    })
    const parts = { handlers: [handler] }
    const env = { ...home.env, ...envOf(collector) }
    const isShared = backend.name === 'redis'
    const start = (roles: string, dataDir = home.dataDir) =>
      startInProcess(t, { dataDir, env: isShared ? { ...env, MILLRACE_ROLES: roles } : env, ...parts })
    const server = isShared
      ? await startServer(t, { dataDir: home.dataDir, env: { ...env, MILLRACE_ROLES: 'ingest' } })
      : await start('')
    const worker = isShared ? await start('worker', tempDirectory(t)) : (server as InProcessServer)

    const event = { id: 'o-1', source: '/shop', type: 'order.paid' }
    const { stdout } = await promisify(execFile)('curl', [
      ...['-s', '-H', `traceparent: ${traceparentOf('a')}`, '-H', 'tracestate: vendor=1'],
      ...['-H', 'content-type: application/json', '-d', JSON.stringify(event), `http://${server.http}/v1/events`],
    ])
    assert.equal(JSON.parse(stdout).accepted, 1)
    await landed(server, 1)
    hasLanded.resolve()
    await landed(server, 2)
    // The spans are sent at the latest when a process stops.
    await server.stop()
    await worker.stop()

    const sent = collector.spans.find(({ parentId }) => parentId === spanIdOf('a'))!
    assert.partialDeepStrictEqual(sent, {
      ...{ service: 'millrace', name: 'send events', kind: 4, traceId, traceState: 'vendor=1', status: 0 },
      attributes: {
        'messaging.system': 'millrace',
        'messaging.operation.name': 'send',
        'messaging.operation.type': 'send',
        'messaging.destination.name': 'events',
        'messaging.message.id': 'o-1',
        'cloudevents.event_id': 'o-1',
        'cloudevents.event_source': '/shop',
        'cloudevents.event_type': 'order.paid',
      },
    })
    const ofEvent = collector.spans.filter(({ parentId }) => parentId === sent.spanId)
    const groups = ofEvent.map(({ attributes }) => attributes['messaging.consumer.group.name'])
    assert.deepEqual(groups.sort(), ['landing', 'mailer'])
    for (const span of ofEvent) {
      const expected = { name: 'process events', kind: 5, traceId, links: [sent.spanId], traceState: 'vendor=1' }
      assert.partialDeepStrictEqual(span, expected)
    }
    const attempt = ofEvent.find(({ attributes }) => attributes['messaging.consumer.group.name'] === 'mailer')!
    assert.equal(attempt.attributes['millrace.attempt'], 1)
    assert.deepEqual(ofHandler, { traceparent: `00-${traceId}-${attempt.spanId}-01`, tracestate: 'vendor=1' })
    const line = worker.logLines().find(({ message }) => message === 'a line')!
    assert.deepEqual([line.trace_id, line.span_id], [traceId, attempt.spanId])
    // What the handler publishes goes on in the trace, and lands.
    const child = collector.spans.find(({ parentId }) => parentId === attempt.spanId)!
    assert.deepEqual([child.name, child.traceId], ['send events', traceId])
    assert.ok(collector.spans.some(({ links }) => links.includes(child.spanId)))
  })
}

test('a request, its attempts and its reply are one trace, and what fails says so', async (t) => {
  const collector = await startTraceCollector(t)
  const handlers = [
    defineHandler({
      request: 'work',
      retry: { initialDelayMs: 1 },
      handle(_, { attempt }) {
        if (attempt === 1) throw new Error('once more')
        return 'done'
      },
    }),
  ]
  const server = await startInProcess(t, { env: envOf(collector), handlers })
  const worker = clientOf(t, server).work({ request: 'far', handle: (_, { trace }) => trace?.traceparent })
  cleanup(t, () => worker.close())
  const headers = { traceparent: traceparentOf('a'), 'millrace-request-id': 'r-1' }
  assert.equal((await post(server, '/v1/requests/work', {}, headers)).text, 'done')
  const far = await eventually(async () => {
    const answer = await post(server, '/v1/requests/far', {}, { traceparent: traceparentOf('b') })
    assert.equal(answer.status, 200)
    return answer
  })
  await worker.close()
  await server.stop()

  const sent = find(collector, 'send _request.work')
  assert.deepEqual([sent.parentId, sent.attributes['messaging.message.conversation_id']], [spanIdOf('a'), 'r-1'])
  const attempts = collector.spans.filter(({ parentId }) => parentId === sent.spanId)
  const ends = attempts.map(({ attributes, status }) => [
    attributes['millrace.attempt'],
    attributes['error.type'],
    status,
  ])
  assert.deepEqual(ends.sort(), [
    [1, 'internal', 2],
    [2, undefined, 0],
  ])
  // A worker in another process has the context of its attempt.
  assert.equal(far.text, `00-${traceId}-${find(collector, 'process _request.far').spanId}-01`)
})

test('a batch has a link to each producer, and is a trace of its own', async (t) => {
  const collector = await startTraceCollector(t)
  const isOpen = Promise.withResolvers<void>()
  const handler = defineHandler({
    group: 'batches',
    batch: { maxEvents: 3, maxWaitMs: 60_000 },
    handle: () => isOpen.resolve(),
  })
  const env = { ...envOf(collector), MILLRACE_LANDING_MAX_EVENTS: '3' }
  const server = await startInProcess(t, { env, handlers: [handler] })
  for (const digit of ['a', 'b']) await post(server, '/v1/events', { type: 'a' }, { traceparent: traceparentOf(digit) })
  // The events of one message may come from several places themselves.
  const elsewhere = { attributes: { traceparent: traceparentOf('d') } }
  await post(server, '/v1/events', [{ type: 'a', ...elsewhere }], { traceparent: traceparentOf('c') })
  await isOpen.promise
  await landed(server, 3)
  await server.stop()

  const sent = collector.spans.filter(({ name }) => name === 'send events')
  const idOf = (digit: string) => sent.find(({ parentId }) => parentId === spanIdOf(digit))!.spanId
  const batch = find(collector, 'process events', 'batches')
  assert.deepEqual([...batch.links].sort(), [idOf('a'), idOf('b'), spanIdOf('d')].sort())
  assert.equal(batch.parentId, '')
  assert.notEqual(batch.traceId, traceId)
  assert.equal(batch.attributes['messaging.batch.message_count'], 3)
  assert.deepEqual(sent.find(({ parentId }) => parentId === spanIdOf('c'))!.links, [spanIdOf('d')])
})

test('what the caller does not record is not recorded, and a sampler of the own traces is obeyed', async (t) => {
  const collector = await startTraceCollector(t)
  const env = { ...envOf(collector), OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' }
  const server = await startInProcess(t, { env })
  await post(server, '/v1/events', { type: 'a' })
  await post(server, '/v1/events', { type: 'a' }, { traceparent: traceparentOf('a').replace(/1$/, '0') })
  await landed(server, 2)
  await post(server, '/v1/events', { type: 'a' }, { traceparent: traceparentOf('b') })
  await landed(server, 3)
  await server.stop()
  assert.deepEqual(
    collector.spans.map(({ name, links }) => [name, links.length]),
    [
      ['send events', 0],
      ['process events', 1],
    ],
  )
})

test('a collector that takes no spans is said once, and holds nothing up', async (t) => {
  const collector = await startTraceCollector(t)
  collector.answer = 400
  const server = await startInProcess(t, { env: envOf(collector) })
  await post(server, '/v1/events', { type: 'a' })
  await landed(server, 1)
  await server.stop()
  const lines = server.logLines().filter(({ message }) => /takes no spans/.test(String(message)))
  assert.deepEqual(
    lines.map(({ level, message }) => [level, message]),
    [['warn', `${collector.endpoint}/v1/traces takes no spans; they are lost meanwhile`]],
  )
})

/** Run before the server: tells each module of OpenTelemetry, but its API, that is loaded, and loads none that is refused. */
const watchModules = (refused: string) =>
  `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  registerHooks({
    resolve(name, context, next) {
      if (name === '${refused}') throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
      if (/^@opentelemetry.(?!api$)/.test(name)) process.stderr.write('loaded ' + name + String.fromCharCode(10))
      return next(name, context)
    },
  })`)}`

test('nothing of the SDK is loaded without the variable, and with it all packages that are optional peers', async (t) => {
  const { endpoint } = await startTraceCollector(t)
  const loadedWith = async (env: Record<string, string>) => {
    const server = await startServer(t, { env, nodeArguments: ['--import', watchModules('')] })
    await post(server, '/v1/events', { type: 'a' }, { traceparent: traceparentOf('a') })
    await landed(server, 1)
    await server.stop()
    return new Set([...server.stderr.matchAll(/^loaded (.*)$/gm)].map(([, name]) => name!))
  }
  assert.deepEqual(await loadedWith({}), new Set())
  const loaded = await loadedWith({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
  const { peerDependencies } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'))
  assert.deepEqual(Object.keys(peerDependencies).sort(), [...sdkPackages].sort())
  for (const name of sdkPackages) assert.ok(loaded.has(name), name)
})

test('a server without the SDK says what to install, and works', async (t) => {
  const { endpoint } = await startTraceCollector(t)
  const nodeArguments = ['--import', watchModules('@opentelemetry/resources')]
  const server = await startServer(t, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, nodeArguments })
  await post(server, '/v1/events', { type: 'a' })
  await landed(server, 1)
  const [line] = server.logLines().filter(({ level }) => level === 'warn')
  assert.match(
    String(line?.message),
    /^OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent, .*npm install @open/,
  )
})
