// What a server answers is what its OpenAPI document says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { postJson, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { serverSentEvents } from '../support/server-sent-events.ts'

test('each answer has the members of its schema', async (t) => {
  const server = await startInProcess(t)
  const { http } = server
  const document = JSON.parse((await request(http, '/openapi.json')).text)
  // No member that the document lacks.
  const strict = JSON.parse(JSON.stringify(document), (_, value) =>
    value?.type === 'object' && value.properties !== undefined ? { ...value, additionalProperties: false } : value,
  )
  const ajv = new Ajv2020({ validateFormats: false, strict: false, allErrors: true })
  ajv.addSchema({ $id: 'http://document/', ...strict })
  const checked = new Set<string>()
  const check = (route: string, status: number, text: string) => {
    const [method = '', path = ''] = route.split(' ')
    const place = `/paths/${path.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${status}/content/application~1json/schema`
    const validate = ajv.getSchema(`http://document/#${place}`)
    assert.ok(validate, `${route} has no answer ${status}`)
    validate(JSON.parse(text))
    assert.deepEqual(validate.errors ?? [], [], `${route}: ${text}`)
    checked.add(route)
  }
  const call = async (route: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const method = route.split(' ')[0]!
    const isJson = typeof body === 'object'
    const answer = await request(http, path, {
      ...{ method, headers: { ...(isJson ? { 'content-type': 'application/json' } : {}), ...headers } },
      ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : String(body) }),
    })
    check(route, answer.status, answer.text)
    return JSON.parse(answer.text)
  }

  const worker = grpcClient(t, server).consume()
  cleanup(t, () => worker.call.cancel())
  worker.send({ join: { group: 'billing', maxInFlight: 1, maxAttempts: 1, ordered: true } })
  await worker.joined
  await call('POST /v1/events', '/v1/events', [{ type: 'a', id: 'e1', key: 'k', data: { n: 1 } }, { type: '' }])
  await postJson(http, { type: 'a', id: 'e2', data_base64: '/9g=', data_content_type: 'image/jpeg' })
  await eventually(() => assert.equal(worker.deliveries.length, 1))
  worker.send({
    outcomes: [{ delivery: worker.deliveries[0]!.delivery, end: { case: 'dead', value: { reason: 'no' } } }],
  })
  const letter = await eventually(async () => {
    const { dead_letters: letters } = await call('GET /v1/dead-letters', '/v1/dead-letters')
    assert.equal(letters.length, 1)
    return letters[0].dead_letter_id
  })
  await call('GET /v1/dead-letters', '/v1/dead-letters?by=cause')
  await call('GET /v1/dead-letters/{id}', `/v1/dead-letters/${letter}`)
  await eventually(async () => {
    const { events } = await call('GET /v1/events', '/v1/events')
    assert.equal(events.length, 2)
  })
  await call('GET /v1/events/{id}', '/v1/events/e1')
  await call('POST /v1/dead-letters/redrive', '/v1/dead-letters/redrive', { dry_run: true })
  await call('GET /v1/groups', '/v1/groups')
  await call('GET /v1/groups/{topic}/{group}/keys', '/v1/groups/events/billing/keys')
  await call('POST /v1/groups/{topic}/{group}/pause', '/v1/groups/events/billing/pause', { reason: 'x' })
  await call('POST /v1/groups/{topic}/{group}/resume', '/v1/groups/events/billing/resume', { rate: 5 })
  await call('POST /v1/replay', '/v1/replay', { dry_run: true })
  await call('GET /v1/workers', '/v1/workers')
  const { file_id: file } = await call('POST /v1/files', '/v1/files', 'one two')
  await call('GET /v1/files/{id}', `/v1/files/${file}`)
  await call('POST /v1/requests/{type}', '/v1/requests/text.analyze', 'one', { prefer: 'respond-async' })
  await call('POST /v1/heartbeats', '/v1/heartbeats', { agent_id: 'a', metadata: { n: 1 } })
  await eventually(async () => {
    const { agents } = await call('GET /v1/agents', '/v1/agents')
    assert.equal(agents.length, 1)
  })
  await call('GET /v1/agents/{id}', '/v1/agents/a')
  const feed = serverSentEvents(`http://${http}/v1/events/live`)
  await feed.next()
  const { subscribers } = await call('GET /v1/subscribers', '/v1/subscribers')
  assert.equal(subscribers.length, 1)
  await feed.return()
  await call('GET /v1/find/{id}', '/v1/find/e1')
  const { key_id: keyId } = await call('POST /v1/keys', '/v1/keys', { name: 'a', scopes: ['read'] })
  await call('GET /v1/keys', '/v1/keys')
  await call('DELETE /v1/keys/{id}', `/v1/keys/${keyId}`)
  await call('DELETE /v1/dead-letters/{id}', `/v1/dead-letters/${letter}`)
  for (const path of ['/v1/status', '/v1/status/history', '/livez', '/readyz', '/healthz', '/version', '/openapi.json'])
    await call(`GET ${path}`, path)
  worker.call.cancel()
  await call('DELETE /v1/groups/{topic}/{group}', '/v1/groups/events/billing')

  const watch = serverSentEvents(`http://${http}/v1/status/live`)
  const { status, observations } = JSON.parse((await watch.next()).value!.data)
  await watch.return()
  for (const [name, value] of Object.entries({ Status: status, Observations: observations })) {
    const validate = ajv.getSchema(`http://document/#/components/schemas/${name}`)!
    validate(value)
    assert.deepEqual(validate.errors ?? [], [], name)
  }
  const problem = await request(http, '/v1/agents/nobody')
  const validate = ajv.getSchema('http://document/#/components/schemas/Problem')!
  validate(JSON.parse(problem.text))
  assert.deepEqual(validate.errors ?? [], [])

  // Those that answer with JSON, but for tickets, which take a key, and keys that are held.
  const paths = Object.entries(document.paths as Record<string, Record<string, { responses: object }>>)
  const withJson = paths.flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, { responses }]) =>
      JSON.stringify(responses).includes('"application/json"') ? [`${method.toUpperCase()} ${path}`] : [],
    ),
  )
  const left = withJson.filter((route) => !checked.has(route))
  assert.deepEqual(left.sort(), [
    'GET /v1/events/live',
    'GET /v1/requests/{id}',
    ...['release', 'retry', 'skip'].map((action) => `POST /v1/groups/{topic}/{group}/keys/{key}/${action}`),
    'POST /v1/tickets',
  ])
})
