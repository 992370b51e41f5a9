// The steps of each account are worked on in order, the accounts side by side. The first account's second step fails a
// few times: its later steps wait for it, and the other accounts are done meanwhile.
//
//   node examples/order-per-key.ts

import { defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const accounts = ['ada', 'bea', 'cyd', 'dan']
const steps = ['open', 'deposit', 'transfer', 'withdraw', 'close']
const failures = 3
const done = new Map<string, string[]>(accounts.map((account) => [account, []]))
const finished = (account: string) => done.get(account)!.length === steps.length

const ledger = defineHandler({
  group: 'ledger',
  ordered: true,
  retry: { initialDelayMs: 400, maxDelayMs: 400 },
  handle({ key, type }, { attempt }) {
    if (key === 'ada' && type === 'deposit' && attempt <= failures) {
      const others = accounts.filter((account) => account !== 'ada' && finished(account))
      console.log(`ada: deposit fails in attempt ${attempt}; done meanwhile: ${others.join(', ') || 'nobody'}`)
      throw new Error('the bank does not answer')
    }
    done.get(key)!.push(type)
  },
})

const server = await startExample([ledger])
// Step by step for all accounts, so that the steps of one are far apart.
const events = steps.flatMap((type) => accounts.map((key) => ({ type, key })))
await server.client.publishEvents(events)
const sums = await server.finished('ledger')
await server.close()

console.log(`${sums.done} steps are done`)
for (const [account, types] of done) console.log(`${account}: ${types.join(' → ')}`)
const isInOrder = [...done.values()].every((types) => types.join() === steps.join())
console.log(isInOrder ? 'each account in its order' : 'OUT OF ORDER')
