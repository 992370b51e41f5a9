import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  makeGenericClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { service as healthService } from 'grpc-health-check'
import { MillraceError } from '../../errors.ts'
import { AdminService, type GetStatusResponse } from '../../gen/millrace/v1/admin_pb.ts'
import { eventually } from '../eventually.test-support.ts'
import { grpcStatus } from '../status.ts'
import { failureOf, openPublishStream, publish, publishMessage, startTestServer } from './grpc-client.test-support.ts'
import { serviceDefinitionOf } from './service-definition.ts'

const good = publishMessage({ events: [{ type: 'order.created' }] })

interface HealthClient extends Client {
  check(request: { service: string }, answer: (error: ServiceError | null, response: { status: string }) => void): void
  watch(request: { service: string }): ClientReadableStream<{ status: string }>
}

function healthClient(address: string): HealthClient {
  const Health = makeGenericClientConstructor(healthService, 'Health')
  return new Health(address, credentials.createInsecure()) as unknown as HealthClient
}

function check(client: HealthClient, service: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  client.check({ service }, (error, response) => (error ? reject(error) : resolve(response.status)))
  return promise
}

test('GetStatus returns the status of the pipeline; an unknown value is absent, not 0', async (t) => {
  const { address } = await startTestServer(t)
  const Admin = makeGenericClientConstructor(serviceDefinitionOf(AdminService), 'Admin')
  const client = new Admin(address, credentials.createInsecure())
  t.after(() => client.close())

  const response = await new Promise<GetStatusResponse>((resolve, reject) =>
    client.getStatus!(
      { $typeName: 'millrace.v1.GetStatusRequest' },
      (error: Error | null, answer: GetStatusResponse) => (error ? reject(error) : resolve(answer)),
    ),
  )

  const { status } = response
  assert.deepEqual(
    [status?.version, status?.uptimeSeconds, status?.durability, status?.log?.driver, status?.log?.epoch],
    ['1.2.3', 12.5, 'disk', 'embedded', 1n],
  )
  const group = status?.topics[0]?.groups[0]
  assert.deepEqual([group?.name, group?.waiting, group?.oldestWaitingSeconds], ['landing', 3n, 0.25])
  assert.deepEqual([status?.ledger[0]?.landed, status?.ledger[0]?.balanced], [7n, undefined])
  assert.deepEqual([status?.subscribers, status?.workers], [undefined, 1n])
})

test('gRPC health follows readiness, for the whole server and for each service', async (t) => {
  const { address, health } = await startTestServer(t)
  const client = healthClient(address)
  t.after(() => client.close())
  const watched: string[] = []
  const watch = client.watch({ service: '' })
  watch.on('data', ({ status }) => watched.push(status))
  watch.on('error', () => {})
  await eventually(() => watched.length === 1)

  for (const service of ['', 'millrace.v1.IngestService', 'millrace.v1.AdminService']) {
    assert.equal(await check(client, service), 'SERVING')
  }
  assert.equal((await failureOf(check(client, 'no.Such'))).code, grpcStatus.NOT_FOUND)
  health.startDraining()

  assert.equal(await check(client, 'millrace.v1.IngestService'), 'NOT_SERVING')
  await eventually(() => watched.length === 2)
  assert.deepEqual(watched, ['SERVING', 'NOT_SERVING'])
})

for (const version of ['v1', 'v1alpha']) {
  test(`reflection ${version} lists the services and describes them`, async (t) => {
    const { address } = await startTestServer(t)
    const root = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'))
    const proto = join(root, `build/proto/grpc/reflection/${version}/reflection.proto`)
    const loaded = loadPackageDefinition(loadSync(proto)) as unknown as {
      grpc: { reflection: Record<string, { ServerReflection: new (...args: unknown[]) => GrpcObject }> }
    }
    const client = new loaded.grpc.reflection[version]!.ServerReflection(address, credentials.createInsecure())
    t.after(() => (client as unknown as Client).close())
    const call = (
      client as unknown as { serverReflectionInfo(): ClientDuplexStream<object, Record<string, never>> }
    ).serverReflectionInfo()
    const ask = async (request: object) => {
      call.write(request)
      const [answer] = await once(call, 'data')
      return answer
    }

    const { listServicesResponse } = await ask({ listServices: '*' })
    const names = listServicesResponse.service.map(({ name }: { name: string }) => name)
    assert.ok(names.includes('millrace.v1.IngestService'))
    assert.ok(names.includes('millrace.v1.AdminService'))
    assert.ok(names.includes('grpc.health.v1.Health'))
    const { fileDescriptorResponse } = await ask({ fileContainingSymbol: 'millrace.v1.Event' })
    assert.ok(fileDescriptorResponse.fileDescriptorProto.length > 0)
    call.end()
    await once(call, 'end')
  })
}

test('reflection is off where other machines can reach the server', async (t) => {
  const { port } = await startTestServer(t, { host: '0.0.0.0' })
  const session = connect(`http://127.0.0.1:${port}`)
  t.after(() => session.destroy())

  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    'content-type': 'application/grpc',
  })
  const [headers] = await once(stream, 'response')
  stream.close()

  assert.equal(headers['grpc-status'], String(grpcStatus.UNIMPLEMENTED))
})

test('the error for a port in use names the port and the setting', async (t) => {
  const { port } = await startTestServer(t)

  await assert.rejects(startTestServer(t, { port }), (error: MillraceError) => {
    assert.ok(error instanceof MillraceError)
    assert.equal(error.field, 'MILLRACE_GRPC_PORT')
    assert.match(error.message, new RegExp(`^MILLRACE_GRPC_PORT: 127\\.0\\.0\\.1:${port} is in use`))
    return true
  })
})

test('calls are counted by method and status, and a failed call writes one log line', async (t) => {
  const { client, metrics, log } = await startTestServer(t)

  await publish(client, good)
  await failureOf(publish(client, publishMessage({ events: [{ type: '' }] })))

  const { body } = await metrics.render()
  assert.match(body, /millrace_grpc_calls_total\{method="millrace.v1.IngestService\/Publish",code="OK"\} 1/)
  assert.match(
    body,
    /millrace_grpc_calls_total\{method="millrace.v1.IngestService\/Publish",code="INVALID_ARGUMENT"\} 1/,
  )
  assert.match(body, /millrace_publish_duration_seconds_count\{transport="grpc"\} 2/)
  assert.match(body, /millrace_open_connections\{transport="grpc"\} 1/)
  const lines = log.lines.filter(({ message }) => message === 'call failed')
  assert.deepEqual(
    lines.map(({ level, method, status, code }) => [level, method, status, code]),
    [['warn', 'millrace.v1.IngestService/Publish', 'INVALID_ARGUMENT', 'invalid_event']],
  )
})

test('a call whose deadline passes is answered and counted as DEADLINE_EXCEEDED', async (t) => {
  const { address, pipeline, metrics } = await startTestServer(t)
  pipeline.hold()
  const session = connect(`http://${address}`)
  t.after(() => session.destroy())

  // A raw client, because a stock one cancels the call just before the server's own timer fires.
  const stream = session.request({
    ':method': 'POST',
    ':path': '/millrace.v1.IngestService/Publish',
    'content-type': 'application/grpc',
    'grpc-timeout': '100m',
  })
  stream.end(Buffer.alloc(5))
  const [headers] = await once(stream, 'response')

  assert.equal(Number(headers['grpc-status']), grpcStatus.DEADLINE_EXCEEDED)
  await once(stream.resume(), 'close')
  // The client may see the end of the stream before the server has counted it.
  const counted = /IngestService\/Publish",code="DEADLINE_EXCEEDED"\} 1/
  const until = performance.now() + 10_000
  while (performance.now() < until && !counted.test((await metrics.render()).body)) await nextTurn()
  assert.match((await metrics.render()).body, counted)
})

test('a unary call without a deadline gets the default deadline', async (t) => {
  const { client, pipeline } = await startTestServer(t, { defaultDeadlineMs: 100 })
  pipeline.hold()

  const error = await failureOf(publish(client, good))

  assert.equal(error.code, grpcStatus.DEADLINE_EXCEEDED)
  assert.match(error.details, /the outcome is unknown/)
})

test('a stopping server finishes running calls and accepts no new connection', async (t) => {
  const { client, pipeline, address, drain } = await startTestServer(t)
  pipeline.hold()
  const running = publish(client, good)
  await eventually(() => pipeline.calls.length === 1)
  const session = connect(`http://${address}`)
  session.on('error', () => {})
  await once(session, 'connect')
  const goaway = once(session, 'goaway')

  const drained = drain(10_000)
  assert.equal((await goaway)[0], 0)
  const refused = connect(`http://${address}`)
  const [error] = await once(refused, 'error')
  assert.equal(error.code, 'ECONNREFUSED')
  pipeline.release()

  assert.equal((await running).accepted, 1n)
  await drained
})

test('watching clients do not delay a stopping server', async (t) => {
  const { address, health, drain } = await startTestServer(t)
  const client = healthClient(address)
  t.after(() => client.close())
  const watched: string[] = []
  const watch = client.watch({ service: '' })
  watch.on('data', ({ status }) => watched.push(status))
  const ended = once(watch, 'error')
  await eventually(() => watched.length === 1)

  health.startDraining()
  const startedAt = performance.now()
  await drain(10_000)

  assert.ok(performance.now() - startedAt < 5000)
  assert.equal((await ended)[0].code, grpcStatus.UNAVAILABLE)
  assert.deepEqual(watched, ['SERVING', 'NOT_SERVING'])
})

test('calls still open at the deadline are force-closed', async (t) => {
  const { client, pipeline, drain } = await startTestServer(t)
  pipeline.hold()
  const stuck = failureOf(publish(client, good))
  const stream = openPublishStream(client)
  stream.call.write(good)
  const streamEnds = failureOf(stream.summary)
  await eventually(() => pipeline.calls.length === 2)

  const startedAt = performance.now()
  await drain(200)

  const tookMs = performance.now() - startedAt
  assert.ok(tookMs >= 190 && tookMs < 2000, `took ${tookMs} ms`)
  assert.equal((await stuck).code, grpcStatus.UNAVAILABLE)
  assert.equal((await streamEnds).code, grpcStatus.UNAVAILABLE)
})

test('two servers in one process are independent', async (t) => {
  const first = await startTestServer(t)
  const second = await startTestServer(t)

  await first.drain(0)

  assert.equal((await publish(second.client, good)).accepted, 1n)
  assert.equal(first.pipeline.events.length, 0)
})
