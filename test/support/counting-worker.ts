// A worker that writes into a Redis stream what it begins and ends, in the order in which Redis sees it.
//
//   node counting-worker.ts <URL of Redis> <key of the stream> <options of the group as JSON> <address> ...

import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { connect } from '../../src/index.ts'

const [url, key, options, ...addresses] = process.argv.slice(2) as [string, string, string, ...string[]]
const redis = await createClient({ url }).connect()
const client = connect({ addresses })

const worker = client.work({
  ...JSON.parse(options),
  async handle({ id, json }, { signal }) {
    const write = (what: string) => redis.xAdd(key, '*', { what, worker: String(process.pid), id })
    await write('begin')
    const { workMs } = json() as { readonly workMs: number }
    await sleep(workMs, undefined, { signal }).catch(() => {})
    await write(signal.aborted ? 'stopped' : 'done')
  },
})
await worker.ended
