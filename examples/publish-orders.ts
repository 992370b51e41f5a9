// Publishes orders to a running server and prints how many were accepted.
//
//   npm start                                  (in another terminal)
//   node examples/publish-orders.ts [N] [address]

import { connect } from '../src/index.ts'

const count = Number(process.argv[2] ?? 1000)
const address = process.argv[3] ?? '127.0.0.1:50051'

const client = connect({ addresses: [address] })

// One call for a few events: the verdict counts the accepted ones and lists rejections.
const verdict = await client.publishEvents([
  { type: 'shop.opened', source: '/examples/shop', data: { at: new Date().toISOString() } },
])
console.log(`shop.opened: accepted ${verdict.accepted}, durability ${verdict.durability}`)

// A publisher for many events: it packs them into large messages, resends after a lost connection, and bounds its memory.
const publisher = client.publisher({
  overflow: 'wait',
  onRejections: (rejections) => {
    for (const { id, code, message } of rejections) console.error(`${id} was rejected: ${code}, ${message}`)
  },
})
for (let number = 1; number <= count; number++) {
  const order = { number, customer: `c-${number % 100}`, cents: 990 + (number % 90) * 100 }
  const hasRoom = publisher.add({
    type: 'order.placed',
    source: '/examples/shop',
    // Events with the same key keep their order.
    key: order.customer,
    data: order,
  })
  if (!hasRoom) await publisher.ready()
}
const totals = await publisher.close()
client.close()

console.log(`order.placed: accepted ${totals.accepted}, rejected ${totals.rejected}`)
