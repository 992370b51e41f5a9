// One tenant floods a topic, another one sends a single event. In a topic whose partitions are picked by the tenant, the flood
// fills its own partition, and handlers take from all partitions in turn; in a topic with one partition the single event
// waits for all that came before it.
//
//   node examples/noisy-neighbour.ts [events of the flood]

import { defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const flood = Number(process.argv[2] ?? 100_000)
const eventsPerMessage = 1000

const done = { noisy: 0, quiet: 0 }
let whenQuiet = { done: 0, atMs: 0 }

const work = (topic: string) =>
  defineHandler({
    ...{ topic, group: topic, concurrency: 16 },
    async handle({ attributes }) {
      const tenant = attributes.tenant as keyof typeof done
      if (tenant === 'quiet') whenQuiet = { done: done.noisy, atMs: performance.now() }
      else await new Promise((resolve) => setImmediate(resolve))
      done[tenant]++
    },
  })

const MILLRACE_TOPICS = 'events,jobs:64:attributes.tenant,queue'
const server = await startExample([work('jobs'), work('queue')], { MILLRACE_TOPICS })
for (const topic of ['jobs', 'queue']) {
  Object.assign(done, { noisy: 0, quiet: 0 })
  const jobOf = (tenant: string) => ({ type: 'job', attributes: [['tenant', tenant]] as const })
  for (let sent = 0; sent < flood; sent += eventsPerMessage) {
    const events = Array.from({ length: Math.min(eventsPerMessage, flood - sent) }, () => jobOf('noisy'))
    await server.client.publishEvents(events, { topic })
  }
  const before = done.noisy
  const sentAtMs = performance.now()
  await server.client.publishEvents([jobOf('quiet')], { topic })
  await server.finished(topic, flood + 1)

  console.log(topic === 'jobs' ? 'jobs: 64 partitions, picked by the tenant' : 'queue: one partition')
  console.log(`  noisy has sent ${flood} events, and ${flood - before} of them wait when quiet sends one`)
  console.log(`  quiet's event begins after ${((whenQuiet.atMs - sentAtMs) / 1000).toFixed(2)} s`)
  console.log(`  meanwhile ${whenQuiet.done - before} events of noisy were done`)
  console.log(`  in the end: noisy ${done.noisy}, quiet ${done.quiet}`)
}
await server.close()
