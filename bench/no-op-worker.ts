// The worker of W7: what no-op-handler.ts does, in a process of its own. Prints a line when it has begun.

import { connect } from '../src/index.ts'
import { countHandled } from './workloads/no-op-handler.ts'

const [address, concurrency] = process.argv.slice(2)
const client = connect({ addresses: [address!] })
const worker = client.work({ group: 'bench', concurrency: Number(concurrency), handle: () => countHandled(1) })
process.once('SIGTERM', () => worker.close())
console.log(address)
await worker.ended
client.close()
