// A Redis server for one block, with default settings and an append-only file.

import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { RedisServer } from '../test/support/redis-server.ts'
import type { DurabilityLabel } from './block.ts'
import { cpuSecondsOf, cpuSecondsOfEndedChildren } from './process-usage.ts'

/** Redis's appendfsync: flush about once a second, or before each answer. */
export type RedisFlush = 'everysec' | 'always'

/** Durability of an event when Redis, and so Millrace, has answered. */
export const labelOfFlush: Readonly<Record<RedisFlush, DurabilityLabel>> = { everysec: 'everysec', always: 'disk' }

/** Millrace's settings for a log on this server, with the durability that its flushes allow. */
export function onRedis(server: RedisServer, flush: RedisFlush): Record<string, string> {
  return { MILLRACE_REDIS_URL: server.url, MILLRACE_DURABILITY: flush === 'always' ? 'disk' : 'broker' }
}

/** Runs the work with a server in the directory. */
export async function withRedis<T>(
  directory: string,
  flush: RedisFlush,
  work: (server: RedisServer) => Promise<T>,
  settings: readonly (readonly [name: string, value: string])[] = [],
): Promise<T> {
  const server = await RedisServer.create({ parent: directory, settings: [['appendfsync', flush], ...settings] })
  // A block that fails must not leave its server behind.
  process.once('exit', () => {
    if (server.pid !== undefined) process.kill(server.pid)
  })
  try {
    return await work(server)
  } finally {
    await server.destroy()
  }
}

/** User and system time of the server so far, in seconds, including the child processes that rewrote its file. */
export function redisCpuSeconds({ pid }: RedisServer): number {
  return pid === undefined ? 0 : cpuSecondsOf(pid) + cpuSecondsOfEndedChildren(pid)
}

/** Counts the commands that clients send, without those called by scripts, until `close`. */
export async function countCommands(server: RedisServer): Promise<{ readonly count: number; close(): void }> {
  const socket = connect(server.port, '127.0.0.1')
  socket.write('MONITOR\r\n')
  await once(socket, 'data')
  let count = 0
  createInterface(socket).on('line', (line) => {
    if (!/^\S+ \[\d+ lua\]/.test(line)) count++
  })
  return {
    get count() {
      return count
    },
    close: () => socket.destroy(),
  }
}

/** The names and values of one section of INFO. */
export async function redisInfo(server: RedisServer, section: string): Promise<ReadonlyMap<string, string>> {
  const text = await server.command('INFO', section)
  const [, length, body] = /^\$(\d+)\r\n(.*)\r\n$/s.exec(text) ?? []
  if (body?.length !== Number(length)) throw new Error(`INFO ${section} answered ${text.slice(0, 100)}`)
  return new Map(body.split('\r\n').flatMap((line) => (line.includes(':') ? [splitAtColon(line)] : [])))
}

function splitAtColon(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1)]
}
