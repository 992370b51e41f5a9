// A flood of low events is waiting for one worker when a few high ones arrive: they overtake the flood, and low events
// still move while high ones keep coming.
//
//   node examples/priorities.ts

import { defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const started: { readonly lane: string; readonly atMs: number }[] = []
const work = defineHandler({
  group: 'worker',
  concurrency: 1,
  async handle({ priority }) {
    started.push({ lane: priority, atMs: performance.now() })
    await new Promise((resolve) => setTimeout(resolve, 5))
  },
})
const server = await startExample([work])
const publish = async (lane: 'low' | 'high', count: number) => {
  const publisher = server.client.publisher({ maxMessageEvents: 1 })
  for (let each = 0; each < count; each++) publisher.add({ type: 'work.item', lane })
  await publisher.close()
}

await publish('low', 200)
const before = started.length
const sentAtMs = performance.now()
await publish('high', 100)
await server.finished('worker')

const high = started.findIndex(({ lane }) => lane === 'high')
const amongHigh = started.slice(
  high,
  started.findLastIndex(({ lane }) => lane === 'high'),
)
const low = amongHigh.filter(({ lane }) => lane === 'low').length
console.log(`${200 - before} low events were waiting when the first of 100 high ones was sent`)
console.log(
  `it started after ${Math.round(started[high]!.atMs - sentAtMs)} ms, ahead of ${started.slice(high).filter(({ lane }) => lane === 'low').length} low ones`,
)
console.log(`while high events were waiting, ${low} low ones moved too`)
await server.close()
