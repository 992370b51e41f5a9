// The trace of a call on its way through a whole server that exports no spans.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Metadata } from '@grpc/grpc-js'
import { defineHandler, type HandledEvent, type HandlerContext } from '../../src/index.ts'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { listEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { serverSentEvents } from '../support/server-sent-events.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const ofCall = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: 'vendor=1' }
const own = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }

type Seen = Record<string, { readonly attributes: HandledEvent['attributes']; readonly trace: HandlerContext['trace'] }>

for (const backend of backends('embedded', 'redis')) {
  test(`events without a trace of their own have that of the call, with handlers, workers and subscribers (${backend.name})`, async (t) => {
    const [inHandler, inWorker]: [Seen, Seen] = [{}, {}]
    const note =
      (seen: Seen) =>
      (event: HandledEvent, { trace }: HandlerContext) => {
        seen[event.id] = { attributes: event.attributes, trace }
      }
    const handlers = [
      defineHandler({
        group: 'local',
        types: ['in.*'],
        // One place: an entry of more events is cut.
        concurrency: 1,
        retry: { initialDelayMs: 1 },
        async handle(event, context) {
          if (context.attempt === 1) throw new Error('again')
          note(inHandler)(event, context)
          await context.publish({ id: `${event.id}-child`, type: 'out' })
        },
      }),
      defineHandler({ group: 'children', type: 'out', handle: note(inHandler) }),
    ]
    const server = await startInProcess(t, { ...(await backend.home(t)), handlers })
    const client = clientOf(t, server)
    const worker = client.work({ group: 'remote', handle: note(inWorker) })
    cleanup(t, () => worker.close())
    const live = serverSentEvents(`http://${server.http}/v1/events/live?from=earliest`)

    const body = ['a', 'b'].map((id) => ({ id, type: 'in.plain' }))
    const events = JSON.stringify([...body, { id: 'c', type: 'in.own', attributes: own }])
    const headers = { ...ofCall, 'content-type': 'application/json' }
    assert.equal((await request(server.http, '/v1/events', { method: 'POST', body: events, headers })).status, 202)

    const ids = ['a', 'b', 'c', 'a-child', 'b-child', 'c-child']
    await eventually(() => {
      assert.deepEqual(Object.keys(inHandler).sort(), [...ids].sort())
      assert.deepEqual(Object.keys(inWorker).sort(), [...ids].sort())
    })
    for (const seen of [inHandler, inWorker]) {
      for (const id of ids) {
        const expected = id.startsWith('c') ? own : ofCall
        assert.deepEqual(seen[id]!.attributes, expected, id)
        assert.deepEqual(seen[id]!.trace, { tracestate: '', ...expected }, id)
      }
    }
    const fed: Record<string, unknown> = {}
    for await (const { event, data } of live) {
      if (event !== 'event') continue
      const { id, attributes } = JSON.parse(data)
      fed[id] = attributes
      if (Object.keys(fed).length === ids.length) break
    }
    for (const id of ids) assert.deepEqual(fed[id], id.startsWith('c') ? own : ofCall, id)
    // What a producer sends again in another call is the same row.
    await eventually(async () => {
      const landed = Object.fromEntries(
        (await listEvents(server.http, '')).events.map(({ id, attributes }) => [id, attributes]),
      )
      assert.deepEqual([landed.a, landed.c, landed['a-child']], [{}, own, ofCall])
    })
  })
}

test('the trace in the metadata of a stream is that of each of its messages', async (t) => {
  const seen: Seen = {}
  const handler = defineHandler({
    group: 'local',
    handle: ({ id, attributes }, { trace }) => {
      seen[id] = { attributes, trace }
    },
  })
  const server = await startInProcess(t, { handlers: [handler] })
  const metadata = Metadata.fromHttp2Headers(ofCall)
  const stream = grpcClient(t, server).publishStream({ metadata })
  for (const id of ['a', 'b']) await stream.send({ events: [{ id, type: 'a' }] })
  stream.call.end()
  assert.equal((await stream.summary).accepted, 2n)
  await eventually(() => assert.deepEqual(Object.keys(seen).sort(), ['a', 'b']))
  for (const { attributes, trace } of Object.values(seen)) assert.deepEqual([attributes, trace], [ofCall, ofCall])
})

test('events that are made durable together keep the traces of their own calls', async (t) => {
  const seen: Record<string, string | undefined> = {}
  const handle = (event: HandledEvent) => {
    seen[event.id] = event.attributes.traceparent
  }
  const server = await startInProcess(t, { handlers: [defineHandler({ group: 'local', handle })] })
  const traceOf = (n: number) => `00-${traceId}-${String(n).padStart(16, '0')}-01`
  const numbers = Array.from({ length: 40 }, (_, n) => n + 1)

  const answers = numbers.map((n) =>
    request(server.http, '/v1/events', {
      method: 'POST',
      // Every third call has no trace.
      headers: { 'content-type': 'application/json', ...(n % 3 === 0 ? {} : { traceparent: traceOf(n) }) },
      body: JSON.stringify({ id: String(n), type: 'in' }),
    }),
  )
  assert.ok((await Promise.all(answers)).every(({ status }) => status === 202))

  await eventually(() => assert.equal(Object.keys(seen).length, numbers.length))
  for (const n of numbers) assert.equal(seen[n], n % 3 === 0 ? undefined : traceOf(n), `event ${n}`)
})
