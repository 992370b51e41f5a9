// One to one, one to many, many to one and many to many: producers and groups do not know of each other. Each group gets
// every event of its types, however many producers send them.
//
//   node examples/fan-in-fan-out.ts

import { connect, defineHandler } from '../src/index.ts'
import { startExample } from './support/example-server.ts'

const seen: Record<string, number> = {}
const countingGroup = (group: string, type: string) =>
  defineHandler({
    group,
    type,
    handle() {
      seen[group] = (seen[group] ?? 0) + 1
    },
  })

const server = await startExample([
  countingGroup('billing', 'order.paid'),
  countingGroup('shipping', 'order.paid'),
  countingGroup('audit', '**'),
])
const produce = async (name: string, type: string, count: number) => {
  const client = connect({ addresses: [server.address] })
  for (let number = 1; number <= count; number++) await client.publishEvents([{ type, source: `/${name}` }])
  client.close()
}

await produce('shop', 'order.paid', 10)
console.log('one producer sent 10 paid orders')
await Promise.all([produce('web', 'order.paid', 10), produce('app', 'order.paid', 10), produce('app', 'user.seen', 10)])
console.log('three producers sent 20 paid orders and 10 users at once')
for (const group of ['billing', 'shipping', 'audit']) {
  await server.finished(group)
  console.log(`${group} has handled ${seen[group]}`)
}
await server.close()
