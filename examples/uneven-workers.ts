// Three workers of different speeds pull from one group. None is given work ahead of its turn, so each gets a share in
// proportion to its speed, and the slow one delays nobody.
//
//   node examples/uneven-workers.ts

import { defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const items = 150
const workers = [
  { name: 'fast', delayMs: 20, done: 0 },
  { name: 'middle', delayMs: 60, done: 0 },
  { name: 'slow', delayMs: 180, done: 0 },
]
const idle = [...workers]

const work = defineHandler({
  group: 'workers',
  concurrency: workers.length,
  async handle() {
    const worker = idle.pop()!
    await new Promise((resolve) => setTimeout(resolve, worker.delayMs))
    worker.done++
    idle.push(worker)
  },
})

const server = await startExample([work])
const startedAt = performance.now()
await server.client.publishEvents(Array.from({ length: items }, () => ({ type: 'work.item' })))
const { done } = await server.finished('workers')
const seconds = (performance.now() - startedAt) / 1000
await server.close()

console.log(`${done} items are done in ${seconds.toFixed(1)} s`)
const speeds = workers.reduce((sum, { delayMs }) => sum + 1 / delayMs, 0)
for (const { name, delayMs, done: share } of workers) {
  const [measured, expected] = [share / items, 1 / delayMs / speeds].map((part) => `${Math.round(part * 100)} %`)
  console.log(`${name} worker (${delayMs} ms): ${share} items, a share of ${measured}; by its speed ${expected}`)
}
const alone = (items * 180) / 1000
console.log(`the slow one alone would take ${alone} s; with equal shares all three would take ${alone / 3} s`)
