// One client streams 20,000 work items in a single PublishStream call, faster than two workers of 10 and 100 ms can take
// them. What does not fit into a backlog of 400 is dropped and counted; the fast worker gets the larger share.
//
//   node examples/client-streaming.ts [items]

import { credentials, loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const items = Number(process.argv[2] ?? 20_000)
const maxWaiting = 400

const workers = [
  { name: 'fast', delayMs: 10, done: 0 },
  { name: 'slow', delayMs: 100, done: 0 },
]
const idle = [...workers]
const work = defineHandler({
  group: 'workers',
  type: 'work.item',
  concurrency: workers.length,
  async handle() {
    const worker = idle.pop()!
    await new Promise((resolve) => setTimeout(resolve, worker.delayMs))
    worker.done++
    idle.push(worker)
  },
})

const server = await startExample([work], { MILLRACE_MAX_WAITING_EVENTS: String(maxWaiting) })

// As any gRPC client in any language would: from the .proto files.
const includeDirs = [new URL('../proto', import.meta.url).pathname]
const proto = loadSync('millrace/v1/ingest.proto', { includeDirs, defaults: true, longs: String })
// biome-ignore lint/suspicious/noExplicitAny: a client that is made at run time has no types.
const { millrace } = loadPackageDefinition(proto) as any
const client = new millrace.v1.IngestService(server.address, credentials.createInsecure())
const summary = await new Promise<Record<string, string>>((resolve, reject) => {
  const call = client.PublishStream((error: Error | null, answer: Record<string, string>) =>
    error === null ? resolve(answer) : reject(error),
  )
  for (let number = 1; number <= items; number++) {
    const data = Buffer.from(JSON.stringify({ payload: `item ${number}` }))
    const attributes = { batch: String(Math.ceil(number / 1000)) }
    const event = { type: 'work.item', subject: `user-${number % 7}`, priority: 1 + (number % 3), data, attributes }
    call.write({ events: [event], overflow: 'OVERFLOW_DROP' })
  }
  call.end()
})
client.close()

const { accepted, done } = await server.finished('workers')
console.log(
  `received ${summary.received} = accepted ${summary.accepted} + dropped ${summary.dropped} + rejected ${summary.rejected}`,
)
console.log(
  `the ledger has ${accepted} accepted, ${done} done; the metric has ${await server.counter('millrace_events_dropped_total')} dropped`,
)
for (const { name, delayMs, done: share } of workers)
  console.log(`${name} worker (${delayMs} ms): ${share} items, ${Math.round((100 * share) / done)} %`)
await server.close()
