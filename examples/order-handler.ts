// A handler of the orders that publish-orders.ts sends: it refuses every 50th, and is too busy for some at first.
//
//   MILLRACE_HANDLERS=examples/order-handler.ts npm start
//   node examples/publish-orders.ts                          (in another terminal)
//   npx millrace groups list                                 and: npx millrace dead-letters list

import { dead, defineHandler, retry } from '../src/index.ts'

export default defineHandler({
  group: 'kitchen',
  type: 'order.*',
  concurrency: 8,
  async handle(event, { attempt }) {
    const { number } = event.json() as { number: number }
    if (number % 50 === 0) return dead('we are out of soup')
    if (number % 10 === 0 && attempt === 1) return retry({ afterMs: 500 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    return undefined
  },
})
