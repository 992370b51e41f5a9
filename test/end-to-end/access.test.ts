// Who may call what: every rpc of the protos and every route of the server, with every kind of key.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { create, type DescFile, type DescMethod, fromBinary, toBinary, toJsonString } from '@bufbuild/protobuf'
import { ConnectionLimits } from '../../src/api/connection-limits.ts'
import { startHttpServer } from '../../src/api/http/http-server.ts'
import { MemoryPipeline } from '../../src/api/memory-pipeline.test-support.ts'
import { type Need, needs } from '../../src/api/scopes.ts'
import { grpcStatus } from '../../src/api/status.ts'
import { type Client, connect } from '../../src/client/connect.ts'
import { type KeyRequest, type Scope, scopes } from '../../src/pipeline/keys.ts'
import { Health } from '../../src/telemetry/health.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { defineHandler } from '../../src/workers/define-handler.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'

/** In what a narrow key must never see. */
const hidden = 'hidden-from-others'

interface Scene {
  readonly server: InProcessServer
  readonly admin: Client
  readonly adminKey: string
  readonly ids: { readonly event: string; readonly letter: string; readonly file: string }
  /** Makes a key; everything that is not given is unlimited. */
  key(request: Partial<KeyRequest> & { readonly scopes: readonly Scope[] }): Promise<string>
}

/** A server that needs keys, with an event, a dead letter, an agent, a file and a request in it. */
async function openScene(t: TestContext, isBehindGateway = false): Promise<Scene> {
  const server = await startInProcess(t, {
    isBehindGateway,
    env: { MILLRACE_AUTH: 'keys', MILLRACE_TOPICS: 'orders,other' },
    handlers: [
      defineHandler({
        topic: 'orders',
        group: 'billing',
        retry: { maxAttempts: 1 },
        handle: () => {
          throw new Error(hidden)
        },
      }),
    ],
  })
  const adminKey = readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim()
  const admin = connect({ addresses: [server.grpc], key: adminKey })
  cleanup(t, () => admin.close())
  const event = '0190a1b2-0000-7000-8000-000000000001'
  await admin.publishEvents([{ id: event, type: 'order.placed', subject: hidden, data: { text: hidden } }], {
    topic: 'orders',
  })
  await admin.heartbeat({ agentId: 'edge-7', metadata: { text: hidden } })
  const { fileId: file } = await admin.upload(Readable.from([Buffer.from(hidden)]), { filename: hidden })
  await admin.request({ type: 'text.analyze', data: Buffer.from(hidden), requestId: 'asked-by-admin' })
  const letter = await eventually(async () => {
    const { deadLetters } = await admin.administration.listDeadLetters({ limit: 10 })
    assert.equal((await admin.administration.journey({ id: event })).event.eventId, event)
    return deadLetters[0]?.deadLetterId ?? assert.fail('no dead letter yet')
  })
  let made = 0
  const key: Scene['key'] = async (request) => {
    const unlimited = { topics: null, types: null, ratePerSecond: null, expiresInSeconds: null }
    return (await admin.keys.create({ name: `key-${made++}`, ...unlimited, ...request })).key
  }
  return { server, admin, adminKey, ids: { event, letter, file }, key }
}

// ---- every call, as it is made to the scene ----

interface Call {
  readonly name: string
  readonly need: Need
  /** The answer, whatever the transport: `status` is that of the transport, `text` all that it says. */
  make(key: string | null): Promise<Answer>
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly challenge: string | null
}

const jsonBodies: Readonly<Record<string, (scene: Scene) => object>> = {
  'POST /v1/events': () => ({ type: 'other.a' }),
  'POST /v1/heartbeats': () => ({ agent_id: 'a' }),
  'POST /v1/dead-letters/redrive': ({ ids }) => ({ dead_letter_ids: [ids.letter] }),
  'POST /v1/keys': () => ({ name: 'made', scopes: ['read'], expires_in: 1 }),
  'POST /v1/tickets': () => ({}),
  'POST /v1/session': ({ adminKey }) => ({ key: adminKey }),
  'POST /v1/replay': () => ({ topic: 'orders', group: 'billing', dry_run: true }),
}

const queries: Readonly<Record<string, string>> = {
  'POST /v1/events': '?topic=orders',
  'GET /v1/events/live': '?topic=orders&live=long-poll&wait=0',
}

function assetOfConsole(): string {
  return readdirSync(join(import.meta.dirname, '../../dist/console/assets'))[0]!
}

function pathOf(route: string, { ids }: Scene): string {
  const id = /dead-letters/.test(route) ? ids.letter : /files/.test(route) ? ids.file : ids.event
  const values: Record<string, string> = { topic: 'orders', group: 'billing', key: ids.event, type: 'text.analyze' }
  values.id = /requests/.test(route) ? 'asked-by-admin' : /agents/.test(route) ? 'edge-7' : id
  values.file = /assets/.test(route) ? assetOfConsole() : 'swagger-ui.css'
  return route.replace(/^\S+ /, '').replace(/:(\w+)/g, (_, name: string) => values[name]!) + (queries[route] ?? '')
}

function httpCall(scene: Scene, route: string): Call {
  const [method = ''] = route.split(' ', 1)
  return {
    name: route,
    need: needs.get(route)!,
    make: async (key) => {
      const body = jsonBodies[route]?.(scene)
      const response = await fetch(`http://${scene.server.http}${pathOf(route, scene)}`, {
        method,
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = response.ok && /\/status\/live$/.test(route) ? await beginningOf(response) : await response.text()
      return {
        status: response.status,
        // `instance` names the request.
        text: text.replace(/,"instance":"urn:millrace:request:[^"]*"/, ''),
        challenge: response.headers.get('www-authenticate'),
      }
    },
  }
}

/** The first event of a stream that does not end. */
async function beginningOf(response: Response): Promise<string> {
  let text = ''
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString()
    if (text.includes('\ndata: ') && text.endsWith('\n\n')) break
  }
  return text
}

const messages: Readonly<Record<string, (scene: Scene) => object>> = {
  Publish: () => ({ topic: 'orders', events: [{ type: 'other.a' }] }),
  PublishStream: () => ({ topic: 'orders', events: [{ type: 'other.a' }] }),
  Produce: () => ({ topic: 'orders', events: [{ type: 'other.a' }], producerEpoch: 1n, sequence: 1n, producerId: 'p' }),
  Request: () => ({ type: 'text.analyze', data: Buffer.from('a') }),
  GetReply: () => ({ requestId: 'asked-by-admin' }),
  Upload: () => ({ part: { case: 'header', value: { filename: 'a' } } }),
  GetUpload: ({ ids }) => ({ fileId: ids.file }),
  GetFile: ({ ids }) => ({ fileId: ids.file }),
  Download: ({ ids }) => ({ fileId: ids.file }),
  Heartbeat: () => ({ agentId: 'a' }),
  ListAgents: () => ({}),
  Subscribe: () => ({ topic: 'orders' }),
  Consume: () => ({ join: { topic: 'orders', group: 'g', maxInFlight: 1 } }),
  GetStatus: () => ({}),
  WatchStatus: () => ({}),
  GetEvent: ({ ids }) => ({ id: ids.event }),
  ListDeadLetters: () => ({}),
  GetDeadLetter: ({ ids }) => ({ deadLetterId: ids.letter }),
  RedriveDeadLetters: ({ ids }) => ({ filter: { deadLetterIds: [ids.letter] } }),
  DeleteDeadLetters: ({ ids }) => ({ filter: { deadLetterIds: [ids.letter] }, dryRun: true }),
  Replay: () => ({ topic: 'orders', group: 'billing', dryRun: true }),
  PauseGroup: () => ({ topic: 'orders', group: 'billing' }),
  ResumeGroup: () => ({ topic: 'orders', group: 'billing' }),
  DeleteGroup: () => ({ topic: 'orders', group: 'billing' }),
  ListHeldKeys: () => ({ topic: 'orders', group: 'billing' }),
  ReleaseKey: ({ ids }) => ({ topic: 'orders', group: 'billing', key: ids.event, action: 1 }),
  CreateKey: () => ({ name: 'made', scopes: ['read'], expiresIn: { seconds: 1n, nanos: 0 } }),
  ListKeys: () => ({}),
  RevokeKey: () => ({ keyId: 'unknown' }),
  CheckKey: ({ adminKey }) => ({ key: adminKey }),
  CreateTicket: ({ adminKey }) => ({ key: adminKey }),
  CreateSession: ({ adminKey }) => ({ key: adminKey }),
  GetStatusHistory: () => ({}),
  ...{ ListGroups: () => ({}), ListWorkers: () => ({}), ListSubscribers: () => ({}) },
  ListEvents: () => ({}),
  GetAgent: () => ({ agentId: 'edge-7' }),
  GetCursor: () => ({ topic: 'orders' }),
}

function rpcCall(scene: Scene, session: ClientHttp2Session, method: DescMethod): Call {
  const path = `/${method.parent.typeName}/${method.name}`
  return {
    name: path,
    need: needs.get(path)!,
    make: async (key) => {
      const message = toBinary(
        method.input,
        create(method.input, messages[method.name]!(scene) as Record<string, unknown>),
      )
      const { status, message: text, bytes } = await bareRpc(session, path, key, message)
      const answer = bytes === null ? '' : toJsonString(method.output, fromBinary(method.output, bytes))
      return { status, text: status === grpcStatus.OK ? answer : text, challenge: null }
    },
  }
}

/** The first message of the answer, or the status of a call that has none. */
function bareRpc(session: ClientHttp2Session, path: string, key: string | null, message: Uint8Array) {
  const answered = Promise.withResolvers<{ status: number; message: string; bytes: Buffer | null }>()
  const stream = session.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
  })
  let received = Buffer.alloc(0)
  const read = (headers: Record<string, unknown>) => {
    if (headers['grpc-status'] === undefined) return
    const bytes = received.length > 0 ? received.subarray(5, 5 + received.readUInt32BE(1)) : null
    const text = decodeURIComponent(String(headers['grpc-message'] ?? ''))
    answered.resolve({ status: Number(headers['grpc-status']), message: text, bytes })
  }
  stream
    .on('response', read)
    .on('trailers', read)
    .on('error', () => {})
    .on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const isWhole = received.length >= 5 && received.length >= 5 + received.readUInt32BE(1)
      // Streams of the server go on.
      if (/Watch|Download|Consume|Subscribe/.test(path) && isWhole) {
        answered.resolve({ status: 0, message: '', bytes: received.subarray(5, 5 + received.readUInt32BE(1)) })
        stream.close()
      }
    })
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  stream.end(Buffer.concat([head, message]))
  return answered.promise
}

async function rpcsOfProtos(): Promise<readonly DescMethod[]> {
  const folder = join(import.meta.dirname, '../../src/gen/millrace/v1')
  const rpcs: DescMethod[] = []
  for (const name of readdirSync(folder)) {
    const module = (await import(join(folder, name))) as Record<string, unknown>
    const file = Object.entries(module).find(([each]) => each.startsWith('file_'))?.[1] as DescFile
    rpcs.push(...file.services.flatMap(({ methods }) => methods))
  }
  return rpcs
}

async function routesOfServer(t: TestContext): Promise<readonly string[]> {
  const metrics = createMetrics()
  const { routes, drain } = await startHttpServer({
    ...{ pipeline: new MemoryPipeline(), health: new Health([]), metrics, logger: createLogger({ level: 'fatal' }) },
    ...{ host: '127.0.0.1', port: 0, version: '0', connectionLimits: new ConnectionLimits() },
  })
  cleanup(t, async () => {
    await drain(0)
    metrics.close()
  })
  return routes.filter((route) => !route.startsWith('HEAD '))
}

/** @param isBehindGateway the routes only: rpcs go to the server itself. */
async function allCalls(t: TestContext, scene: Scene, isBehindGateway: boolean): Promise<readonly Call[]> {
  if (isBehindGateway) return (await routesOfServer(t)).map((route) => httpCall(scene, route))
  const session = connectHttp2(`http://${scene.server.grpc}`)
  cleanup(t, () => session.destroy())
  const rpcs = await rpcsOfProtos()
  return [
    ...rpcs.map((method) => rpcCall(scene, session, method)),
    ...(await routesOfServer(t)).map((route) => httpCall(scene, route)),
  ]
}

const isRpc = ({ name }: Call) => name.startsWith('/')

// ---- the matrix ----

const ways = [
  { way: '', isBehindGateway: false },
  { way: ' behind a gateway', isBehindGateway: true },
]

for (const { way, isBehindGateway } of ways) {
  test(`every call is refused without a key, and alike with every wrong one${way}`, async (t) => {
    const scene = await openScene(t, isBehindGateway)
    const revoked = await scene.key({ scopes })
    await scene.admin.keys.revoke(revoked.slice(3, 15))
    const expired = await scene.key({ scopes, expiresInSeconds: 1 })
    const unknown = revoked.replace(/^mr_.{12}/, 'mr_000000000000')
    await eventually(async () => assert.rejects(scene.admin.keys.check(expired), { code: 'unauthenticated' }))
    const calls = await allCalls(t, scene, isBehindGateway)

    for (const call of calls) {
      const without = await call.make(null)
      const wrong = await Promise.all([unknown, revoked, expired].map((key) => call.make(key)))
      if (call.need === 'open') {
        assert.deepEqual(
          [without, ...wrong].map(({ status }) => status),
          Array(4).fill(isRpc(call) ? grpcStatus.OK : 200),
          call.name,
        )
        continue
      }
      const refused = isRpc(call) ? grpcStatus.UNAUTHENTICATED : 401
      assert.deepEqual([without.status, ...wrong.map(({ status }) => status)], Array(4).fill(refused), call.name)
      assert.equal(new Set(wrong.map(({ text }) => text)).size, 1, call.name)
      if (isRpc(call)) continue
      assert.equal(without.challenge, 'Bearer realm="millrace"')
      for (const { challenge } of wrong) assert.equal(challenge, 'Bearer realm="millrace", error="invalid_token"')
    }
  })
}

for (const { way, isBehindGateway } of ways) {
  test(`every call is refused to a key that has all scopes but the one it needs${way}`, async (t) => {
    const scene = await openScene(t, isBehindGateway)
    const calls = await allCalls(t, scene, isBehindGateway)
    const lacking = new Map<Need, string>()
    for (const scope of scopes) lacking.set(scope, await scene.key({ scopes: scopes.filter((each) => each !== scope) }))
    lacking.set('work or read', await scene.key({ scopes: ['publish', 'subscribe', 'operate', 'admin'] }))

    for (const call of calls) {
      const key = lacking.get(call.need)
      if (key === undefined) continue
      const { status, text, challenge } = await call.make(key)
      assert.equal(status, isRpc(call) ? grpcStatus.PERMISSION_DENIED : 403, `${call.name}: ${text}`)
      assert.match(text, new RegExp(`the key lacks the scope ${call.need}`))
      if (isRpc(call)) continue
      assert.equal(challenge, `Bearer realm="millrace", error="insufficient_scope", scope="${call.need}"`)
    }
  })
}

/** What a key for the topic `other` and the types `other.**` gets: a status, or an answer in which the members named are empty. */
const ofNarrowKey: Readonly<Record<string, number | 'empty' | 'done'>> = {
  ...{ 'POST /v1/events': 404, 'POST /v1/heartbeats': 404, 'POST /v1/files': 403, 'POST /v1/requests/:type': 403 },
  ...{ 'GET /v1/requests/:id': 404, 'GET /v1/events': 'empty', 'GET /v1/events/:id': 404, 'GET /v1/agents': 'empty' },
  ...{ 'GET /v1/events/live': 404, 'GET /v1/subscribers': 'empty' },
  ...{ 'GET /v1/files/:id': 404, 'GET /v1/files/:id/content': 404 },
  ...{ 'GET /v1/dead-letters': 'empty', 'GET /v1/dead-letters/:id': 404, 'DELETE /v1/dead-letters/:id': 404 },
  ...{ 'POST /v1/dead-letters/redrive': 404, 'GET /v1/groups/:topic/:group/keys': 404 },
  ...{ 'POST /v1/groups/:topic/:group/pause': 404, 'POST /v1/groups/:topic/:group/resume': 404 },
  ...{ 'POST /v1/groups/:topic/:group/keys/:key/retry': 404, 'POST /v1/groups/:topic/:group/keys/:key/skip': 404 },
  ...{ 'POST /v1/groups/:topic/:group/keys/:key/release': 404, 'GET /v1/status': 'done', 'GET /metrics': 403 },
  ...{ 'GET /v1/keys': 403, 'POST /v1/keys': 403, 'DELETE /v1/keys/:id': 403, 'POST /v1/tickets': 'done' },
  ...{ 'GET /v1/session': 'done', 'POST /v1/session': 'done', 'DELETE /v1/session': 'done' },
  ...{ 'GET /assets/:file': 'done', 'GET /openapi.json': 'done', 'GET /docs': 'done', 'GET /docs/:file': 'done' },
  ...{ 'GET /version': 'done', 'GET /livez': 'done', 'GET /readyz': 'done', 'GET /healthz': 'done', 'GET /': 'done' },
  ...{ Publish: grpcStatus.NOT_FOUND, PublishStream: 'done', Produce: grpcStatus.NOT_FOUND },
  ...{ Request: grpcStatus.PERMISSION_DENIED, GetReply: grpcStatus.NOT_FOUND, Upload: grpcStatus.PERMISSION_DENIED },
  ...{ GetUpload: grpcStatus.NOT_FOUND, GetFile: grpcStatus.NOT_FOUND, Download: grpcStatus.NOT_FOUND },
  ...{
    Heartbeat: grpcStatus.NOT_FOUND,
    ListAgents: 'empty',
    Consume: grpcStatus.NOT_FOUND,
    Subscribe: grpcStatus.NOT_FOUND,
  },
  ...{ GetStatus: 'done' },
  ...{ WatchStatus: 'done', GetEvent: grpcStatus.NOT_FOUND, ListDeadLetters: 'empty' },
  ...{ GetDeadLetter: grpcStatus.NOT_FOUND, RedriveDeadLetters: grpcStatus.NOT_FOUND },
  ...{ DeleteDeadLetters: grpcStatus.NOT_FOUND, Replay: grpcStatus.NOT_FOUND, PauseGroup: grpcStatus.NOT_FOUND },
  ...{ ResumeGroup: grpcStatus.NOT_FOUND, DeleteGroup: grpcStatus.NOT_FOUND, ListHeldKeys: grpcStatus.NOT_FOUND },
  ...{ ReleaseKey: grpcStatus.NOT_FOUND, CreateKey: grpcStatus.PERMISSION_DENIED },
  ...{ ListKeys: grpcStatus.PERMISSION_DENIED, RevokeKey: grpcStatus.PERMISSION_DENIED, CheckKey: 'done' },
  ...{ 'GET /v1/groups': 'done', 'GET /v1/workers': 'empty', 'GET /v1/agents/:id': 404, 'POST /v1/replay': 404 },
  ...{ 'DELETE /v1/groups/:topic/:group': 404, 'GET /v1/status/live': 'done', 'GET /v1/find/:id': 'done' },
  ...{ ListGroups: 'done', ListWorkers: 'empty', ListSubscribers: 'empty', ListEvents: 'empty' },
  ...{ GetAgent: grpcStatus.NOT_FOUND, GetCursor: grpcStatus.NOT_FOUND, CreateTicket: 'done' },
  CreateSession: 'done',
}

for (const { way, isBehindGateway } of ways) {
  test(`a key for another topic and other types finds nothing by any call${way}`, async (t) => {
    const scene = await openScene(t, isBehindGateway)
    const calls = await allCalls(t, scene, isBehindGateway)
    const key = await scene.key({ scopes, topics: ['other'], types: ['other.**'] })

    for (const call of calls) {
      const name = isRpc(call) ? call.name.replace(/.*\//, '') : call.name
      // Those of a gateway have nothing of any topic.
      const expected = isBehindGateway && name === 'GET /metrics' ? 'done' : ofNarrowKey[name]
      const { status, text } = await call.make(key)
      const done = isRpc(call) ? grpcStatus.OK : 200
      if (typeof expected === 'number') assert.equal(status, expected, `${call.name}: ${text}`)
      else assert.ok(status === done || status === 201, `${call.name}: ${expected} ${status} ${text}`)
      if (expected === 'empty') assert.match(text, /^\{("\w+":(\[\]|null),?)*\}$/, call.name)
      assert.ok(!text.includes(hidden), `${call.name}: ${text}`)
      if (/status/i.test(call.name)) assert.ok(!/"(orders|billing|heartbeats|_dead|_request)/.test(text), text)
    }
  })
}
