import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { Health } from '../telemetry/health.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { eventually } from './eventually.test-support.ts'
import { failureOf, openPublishStream, publish, publishMessage, rawClient } from './grpc/grpc-client.test-support.ts'
import { ask, post } from './http/http-client.test-support.ts'
import { LinesWritten } from './lines-written.test-support.ts'
import { MemoryPipeline } from './memory-pipeline.test-support.ts'
import { type ApiOptions, startApi } from './start-api.ts'
import { grpcStatus } from './status.ts'

async function startTestApi(t: TestContext, options: Partial<ApiOptions> = {}) {
  const pipeline = new MemoryPipeline()
  const health = new Health([])
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const logger = createLogger({ level: 'info', version: 'test', destination: new LinesWritten() })
  const api = await startApi({
    pipeline,
    health,
    metrics,
    logger,
    host: '127.0.0.1',
    httpPort: 0,
    grpcPort: 0,
    version: '1.2.3',
    roles: ['ingest', 'worker'],
    ...options,
  })
  const client = rawClient(api.grpc ?? '')
  t.after(async () => {
    client.close()
    pipeline.release()
    await api.drain(0)
  })
  return { api, client, pipeline, health, url: `http://${api.http}` }
}

const good = publishMessage({ events: [{ type: 'order.created' }] })

test('gRPC and HTTP serve the same pipeline', async (t) => {
  const { client, pipeline, url } = await startTestApi(t)

  await publish(client, good)
  await post(url, { type: 'order.paid' })

  assert.deepEqual(
    pipeline.events.map(({ type }) => type),
    ['order.created', 'order.paid'],
  )
  assert.equal((await ask(`${url}/v1/events`)).json.events.length, 2)
})

test('connections of gRPC and HTTP share the limits of the configuration', async (t) => {
  const { client, url } = await startTestApi(t, { connectionsMax: 2, connectionsPerAddressMax: 99 })
  await publish(client, good)
  await post(url, { type: 'order.paid' })

  const oneTooMany = connect(Number(new URL(url).port), '127.0.0.1')
  await once(oneTooMany, 'close')

  assert.equal(oneTooMany.bytesRead, 0)
})

test('a stopping server reports it everywhere, finishes running calls and closes within the deadline', async (t) => {
  const { api, client, pipeline, health, url } = await startTestApi(t)
  const idle = openPublishStream(client)
  pipeline.hold()
  const overGrpc = publish(client, good)
  const overHttp = post(url, { type: 'a' })
  await eventually(() => pipeline.calls.length === 2)
  assert.equal((await ask(`${url}/readyz`)).status, 200)

  health.startDraining()
  assert.equal((await ask(`${url}/readyz`)).status, 503)
  const startedAt = performance.now()
  const drained = api.drain(10_000)
  assert.equal((await failureOf(idle.summary)).code, grpcStatus.UNAVAILABLE)
  pipeline.release()

  assert.equal((await overGrpc).accepted, 1n)
  assert.equal((await overHttp).json.accepted, 1)
  await drained
  assert.equal(api.drain(0), drained)
  assert.ok(performance.now() - startedAt < 5000)
})

test('when one port cannot be opened the other is closed again', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const portOf = (server: typeof taken) => (server.address() as { port: number }).port
  const grpcPort = portOf(free)
  free.close()
  await once(free, 'close')

  await assert.rejects(startTestApi(t, { grpcPort, httpPort: portOf(taken) }), (error: MillraceError) => {
    assert.ok(error instanceof MillraceError)
    assert.equal(error.field, 'MILLRACE_HTTP_PORT')
    return true
  })

  const again = createServer().listen(grpcPort, '127.0.0.1')
  await once(again, 'listening')
  again.close()
})
