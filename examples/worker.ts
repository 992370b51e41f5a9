// A worker in a process of its own, on this machine or another: it cooks the orders that publish-orders.ts sends, refuses
// every 50th, and is too busy for some at first. Ctrl-C lets it finish what it has.
//
//   npm start                                                (in another terminal)
//   node examples/worker.ts [address ...]                    (several, if you like)
//   node examples/publish-orders.ts                          (in another terminal)

import { connect, dead, retry } from '../src/index.ts'

const addresses = process.argv.slice(2)
const client = connect(addresses.length > 0 ? { addresses } : {})
let cooked = 0

const worker = client.work({
  group: 'kitchen',
  type: 'order.*',
  concurrency: 8,
  async handle(event, { attempt, publish }) {
    const { number } = event.json() as { number: number }
    if (number % 50 === 0) return dead('we are out of soup')
    if (number % 10 === 0 && attempt === 1) return retry({ afterMs: 500 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    await publish({ id: `meal-${event.eventId}`, type: 'meal.ready', data: { number } })
    cooked++
    return undefined
  },
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => worker.close())
await worker.ended
client.close()
console.log(`cooked ${cooked}`)
