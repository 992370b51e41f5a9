// Settings and state of a Redis server: read at the start, after each reconnect and every 5 s.

import { MillraceError } from '../../../errors.ts'
import { listOf, type RedisNode, type Reply, textOf } from '../connection/redis-connection.ts'

/** A replica confirms what it has every second. */
const maxLagSeconds = 5

/** A fact that the server does not report is null. */
export interface ServerFacts {
  readonly name: string
  readonly version: string
  /** Commands that came with 7.0 and 7.2. */
  readonly hasShardedPublish: boolean
  readonly hasWaitAof: boolean
  /** `master`, or the address of its master. */
  readonly role: 'master' | { readonly replicaOf: string }
  readonly connectedReplicas: number
  readonly evictionPolicy: string
  /** 0: the memory of the host is the limit. */
  readonly maxMemoryBytes: number
  readonly hasAppendOnlyFile: boolean
  readonly isAppendOnlyFileSound: boolean
  readonly delayedFlushes: number
  /** `always`, `everysec`, `no`; null when CONFIG is denied. */
  readonly flushes: string | null
  readonly flushesDuringRewrite: boolean | null
  readonly savesSnapshots: boolean | null
}

/**
 * Reads the facts; those of a denied CONFIG are null. Errors: as `command`; `unavailable` while the server is loading.
 */
export async function readServerFacts(server: RedisNode): Promise<ServerFacts> {
  const [info, features, settings] = await Promise.all([
    server.command('INFO').then((reply) => readInfo(textOf(reply))),
    server.command('COMMAND', 'INFO', 'SPUBLISH', 'WAITAOF').then(listOf),
    readSettings(server),
  ])
  if (info.get('loading') === '1') {
    throw new MillraceError('unavailable', `Redis at ${server.name} is still loading its data: wait until it is done`)
  }
  return {
    name: server.name,
    version: info.get('redis_version') ?? 'unknown',
    hasShardedPublish: isKnown(features[0]),
    hasWaitAof: isKnown(features[1]),
    role: info.get('role') === 'master' ? 'master' : { replicaOf: masterIn(info) },
    connectedReplicas: [...info].filter(isReplicaInStep).length,
    evictionPolicy: info.get('maxmemory_policy') ?? 'unknown',
    maxMemoryBytes: Number(info.get('maxmemory') ?? 0),
    hasAppendOnlyFile: info.get('aof_enabled') === '1',
    isAppendOnlyFileSound: info.get('aof_last_write_status') !== 'err',
    delayedFlushes: Number(info.get('aof_delayed_fsync') ?? 0),
    flushes: settings?.get('appendfsync') ?? null,
    flushesDuringRewrite: settings === null ? null : settings.get('no-appendfsync-on-rewrite') === 'no',
    savesSnapshots: settings === null ? null : settings.get('save') !== '',
  }
}

function readInfo(text: string): Map<string, string> {
  const lines = text.split('\r\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
}

/** COMMAND INFO replies null or an empty array for an unknown command. */
function isKnown(reply: Reply | undefined): boolean {
  return Array.isArray(reply) && reply.length > 0
}

/** Excludes replicas in their initial synchronization, and silent ones: Redis keeps those `online` for a minute. */
function isReplicaInStep([name, value]: readonly [string, string]): boolean {
  if (!/^slave\d+$/.test(name) || !/(?:^|,)state=online(?:,|$)/.test(value)) return false
  return Number(/(?:^|,)lag=(\d+)/.exec(value)?.[1] ?? 0) <= maxLagSeconds
}

function masterIn(info: ReadonlyMap<string, string>): string {
  return `${info.get('master_host') ?? 'an unknown host'}:${info.get('master_port') ?? '?'}`
}

/** Null when the user may not run CONFIG GET, or the server does not have the command. */
async function readSettings(server: RedisNode): Promise<Map<string, string> | null> {
  const names = ['appendfsync', 'no-appendfsync-on-rewrite', 'save']
  try {
    const words = listOf(await server.command('CONFIG', 'GET', ...names)).map(textOf)
    return new Map(names.map((name) => [name, words[words.indexOf(name) + 1] ?? '']))
  } catch (thrown) {
    if (isDenied(thrown)) return null
    throw thrown
  }
}

function isDenied(thrown: unknown): boolean {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  return cause instanceof Error && /^NOPERM|^ERR unknown (?:command|subcommand)/i.test(cause.message)
}
