// The Python loop: a typical hand-written loop (loop.py) lands a Redis stream, one entry per event, in the same table. The
// stream is full before it begins and nothing else runs, which favours the loop.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createClient } from 'redis'
import type { RedisServer } from '../../../test/support/redis-server.ts'
import { runBlock } from '../../block.ts'
import { expectedRows, idPrefix, payload } from '../../messages.ts'
import { postgresCpuSeconds, postgresNumbersProblems, withPostgres } from '../../postgres.ts'
import { labelOfFlush, type RedisFlush, redisCpuSeconds, withRedis } from '../../redis.ts'
import { withTempDirectory } from '../../temp-directory.ts'
import { findPython, whyAbsent } from './python.ts'

export interface PythonLoopOptions {
  readonly events: number
  readonly payloadBytes: number
  readonly flush: RedisFlush
}

/** The last line that loop.py prints. */
interface LoopResult {
  readonly events: number
  readonly seconds: number
  readonly cpuSeconds: number
}

const stream = 'events'
const group = 'landing'
const entriesPerPipeline = 500
/** Share of the rows that warm everything up and do not count. */
const warmUpShare = 0.25

const loop = fileURLToPath(new URL('./loop.py', import.meta.url))
const tables = new URL('../../../src/store/postgres/migrations/0001-events.sql', import.meta.url)

await runBlock(async (options: PythonLoopOptions) => {
  const { flush, events, payloadBytes } = options
  const python = findPython()
  if (python === null) return { absent: whyAbsent }
  return withTempDirectory((directory) =>
    withRedis(directory, flush, (redis) =>
      withPostgres(directory, async (postgres, postgresUrl) => {
        await postgres.query(readFileSync(tables, 'utf8'), [], postgresUrl)
        await fillStream(redis, events, payloadBytes)
        const settings = { redisUrl: redis.url, postgresUrl, stream, group }
        const warmUpEvents = Math.floor(events * warmUpShare)
        const storesCpuSeconds = () => redisCpuSeconds(redis) + postgresCpuSeconds(postgres)

        const words = [loop, JSON.stringify({ ...settings, events, warmUpEvents })]
        const child = spawn(python.program, words, { stdio: ['pipe', 'pipe', 'inherit'] })
        process.once('exit', () => child.kill())
        const ended = once(child, 'exit')
        let cpuBefore = 0
        let storesSeconds = 0
        let result: LoopResult | undefined
        for await (const line of createInterface(child.stdout)) {
          const report = JSON.parse(line)
          if ('warm' in report) cpuBefore = storesCpuSeconds()
          else {
            result = report
            storesSeconds = storesCpuSeconds() - cpuBefore
            child.stdin.end()
          }
        }
        const [code] = await ended
        if (result === undefined) throw new Error(`loop.py exited with ${code} before it was done`)

        const pending = await redis.command('XPENDING', stream, group)
        const unacknowledged = Number(/^\*4\r\n:(\d+)/.exec(pending)?.[1])
        const problems = await postgresNumbersProblems(postgres, postgresUrl, expectedRows(events), options)
        if (unacknowledged !== 0) problems.push(`${unacknowledged} entries are not acknowledged`)
        return {
          events: result.events,
          seconds: result.seconds,
          serviceCpuSeconds: storesSeconds + result.cpuSeconds,
          durability: labelOfFlush[flush],
          problems,
          details: { versions: python.versions, loopMicros: (1e6 * result.cpuSeconds) / result.events },
        }
      }),
    ),
  )
})

/** Adds one entry per event, pipelined. */
async function fillStream(redis: RedisServer, events: number, payloadBytes: number): Promise<void> {
  const client = createClient({ url: redis.url })
  await client.connect()
  await client.xGroupCreate(stream, group, '0', { MKSTREAM: true })
  const prefix = idPrefix()
  for (let first = 1; first <= events; first += entriesPerPipeline) {
    const count = Math.min(entriesPerPipeline, events + 1 - first)
    const adding = Array.from({ length: count }, (_, index) => {
      const number = first + index
      return client.xAdd(stream, '*', {
        id: prefix + number.toString(16).padStart(12, '0'),
        source: '/bench',
        type: 'bench.reading',
        data: payload(number, payloadBytes).toString(),
      })
    })
    await Promise.all(adding)
  }
  await client.close()
}
