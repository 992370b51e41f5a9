// The table of settings: each with its variable, default, unit, what is allowed, and how its text is read.
//
// docs/config.md is this table as a page; test/reference.test.ts compares the two. What puts values together into a
// configuration is config.ts.

import * as v from 'valibot'
import { MillraceError } from '../errors.ts'
import type { DurabilityLevel } from '../event/durability.ts'
import { defaultTopic, isTopicName } from '../event/event.ts'
import { commaList, host, hostAndPort, type TextSchema, wholeNumber } from '../lib/text-value.ts'
import { readRedisUrl } from './redis-url.ts'

export const roles = ['ingest', 'worker'] as const
export type Role = (typeof roles)[number]

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof logLevels)[number]

export interface TopicConfig {
  readonly name: string
  readonly partitions: number
}

/** Every value is valid; units and meaning are in the table. */
export interface Config {
  /** Absolute. */
  readonly dataDir: string
  readonly host: string
  readonly httpPort: number
  readonly grpcPort: number
  /** `host:port`, tried in turn. Empty: from addresses.json, else 127.0.0.1:50051. */
  readonly address: readonly string[]
  readonly auth: 'off' | null
  /** Null: the embedded log. */
  readonly redisUrl: string | null
  readonly redisPrefix: string
  readonly redisTrustDisk: boolean
  /** Null: the embedded store. */
  readonly postgresUrl: string | null
  readonly deadSqlstates: readonly string[]
  /** The topic `events` is always among them. */
  readonly topics: readonly TopicConfig[]
  readonly roles: readonly Role[]
  readonly maxWaitingEvents: number
  readonly maxWaitingBytes: number
  readonly landingMaxEvents: number
  readonly landingMaxWaitMs: number
  readonly leaseMs: number
  readonly retentionMs: number
  readonly retentionBytes: number
  readonly drainMs: number
  readonly durability: DurabilityLevel
  readonly diskReserveBytes: number
  readonly logLevel: LogLevel
}

/** What was written, before it is completed with defaults that depend on other settings. */
export interface WrittenConfig extends Omit<Config, 'topics' | 'durability'> {
  readonly topics: readonly { readonly name: string; readonly partitions: number | null }[]
  readonly durability: DurabilityLevel | null
}

/** One row of the table. */
interface Row<Value> {
  readonly variable: string
  /** As it would be written; null when it has none, then `unset` is the value. */
  readonly default: string | null
  readonly unset?: Value
  /** What a bare number counts. */
  readonly unit: 'bytes' | 'events' | 'milliseconds' | null
  /** Completes the sentence "it must be …". */
  readonly allowed: string
  readonly example: string
  readonly description: string
  /** May hold a password: it is never shown whole, and `<variable>_FILE` may name a file that has it. */
  readonly isSecret?: true
  readonly schema: TextSchema<Value>
}

export const prefix = 'MILLRACE_'
const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3
const pebibyte = 1024 ** 5
const hourMs = 3_600_000

/** Of SQLSTATEs that are never about one event: connections, rights, resources, the server itself. */
const outageClasses: readonly string[] = ['08', '25', '28', '40', '53', '57', '58', 'XX']

const deadSqlstate = v.pipe(v.string(), v.regex(new RegExp(`^(?!${outageClasses.join('|')})[0-9A-Z]{5}$`)))

const role = v.pipe(v.string(), v.notValue('gateway', '`gateway` is not supported by this version'), v.picklist(roles))

const topic = v.pipe(
  v.string(),
  v.transform((text): unknown => text.split(':')),
  v.strictTuple([v.pipe(v.string(), v.check(isTopicName)), v.optional(wholeNumber(1, 1024))]),
  v.transform(([name, partitions = null]) => ({ name, partitions })),
)

const topics = v.pipe(
  commaList(topic),
  v.transform((listed) => {
    const hasDefault = listed.some(({ name }) => name === defaultTopic)
    return hasDefault ? listed : [{ name: defaultTopic, partitions: null }, ...listed]
  }),
  withoutRepeats(({ name }) => name),
)

const durability = v.pipe(
  v.string(),
  v.notValue('memory', 'no log of Millrace is content with that'),
  v.regex(/^(?:disk|broker|replicated(?:_disk)?\((?:[1-9]|1[0-6])\))$/),
  v.transform((text) => {
    const [level, replicas] = text.split(/[()]/)
    return (replicas === undefined ? { level } : { level, replicas: Number(replicas) }) as DurabilityLevel
  }),
)

const table: { readonly [Key in keyof Config]: Row<WrittenConfig[Key]> } = {
  dataDir: {
    variable: 'MILLRACE_DATA_DIR',
    default: './data',
    unit: null,
    allowed: 'the path of a directory',
    example: '/var/lib/millrace',
    description:
      'Where the log and the store are kept; made when missing. One server per directory, on a disk of this machine.',
    schema: v.pipe(v.string(), v.excludes('\0')),
  },
  host: {
    variable: 'MILLRACE_HOST',
    default: '127.0.0.1',
    unit: null,
    allowed: 'an IP address or a host name',
    example: '127.0.0.1',
    description: 'The address to listen on. One that other machines can reach needs `MILLRACE_AUTH=off`.',
    schema: host,
  },
  httpPort: {
    variable: 'MILLRACE_HTTP_PORT',
    default: '8080',
    example: '8080',
    description: 'The port for HTTP. 0 takes any free one; `addresses.json` in the data directory names it.',
    ...numberOf(null, 0, 65_535),
  },
  grpcPort: {
    variable: 'MILLRACE_GRPC_PORT',
    default: '50051',
    example: '50051',
    description: 'The port for gRPC. 0 takes any free one; `addresses.json` in the data directory names it.',
    ...numberOf(null, 0, 65_535),
  },
  address: {
    variable: 'MILLRACE_ADDRESS',
    default: null,
    unset: [],
    unit: null,
    allowed: 'a comma list of `host:port`',
    example: '127.0.0.1:50051',
    description:
      'Where client commands connect (gRPC), tried in turn. Unset: what `addresses.json` in the data directory says, else `127.0.0.1:50051`.',
    schema: commaList(hostAndPort),
  },
  auth: {
    variable: 'MILLRACE_AUTH',
    default: null,
    unset: null,
    unit: null,
    allowed: '`off`',
    example: 'off',
    description: '`off` lets whoever reaches the server use it. Needed for any address but loopback.',
    schema: v.literal('off'),
  },
  redisUrl: {
    variable: 'MILLRACE_REDIS_URL',
    default: null,
    unset: null,
    unit: null,
    allowed:
      '`redis://user:password@host:port`, `rediss://…` with TLS, a comma list of them for a Cluster, or `redis+sentinel://host:port,host:port/master-name`',
    example: 'redis://localhost:6379',
    description:
      'The Redis that keeps the log, so that several processes can share it. Left out: the embedded log in the data directory.',
    isSecret: true,
    schema: v.pipe(v.string(), v.rawCheck(checkRedisUrl)),
  },
  redisPrefix: {
    variable: 'MILLRACE_REDIS_PREFIX',
    default: 'millrace',
    unit: null,
    allowed: '1 to 64 of the characters `a-z A-Z 0-9 . _ -`',
    example: 'millrace',
    description: 'What every key begins with. Processes with one prefix share one log.',
    schema: v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/)),
  },
  redisTrustDisk: {
    variable: 'MILLRACE_REDIS_TRUST_DISK',
    default: 'false',
    unit: null,
    allowed: '`true` or `false`',
    example: 'true',
    description:
      'Where Redis denies CONFIG, so that nobody can see how it flushes: `true` vouches for it, and `disk` starts.',
    schema: v.pipe(
      v.picklist(['true', 'false']),
      v.transform((text) => text === 'true'),
    ),
  },
  postgresUrl: {
    variable: 'MILLRACE_POSTGRES_URL',
    default: null,
    unset: null,
    unit: null,
    allowed: 'a URL `postgres://user:password@host:port/database`',
    example: 'postgres://millrace@localhost:5432/millrace',
    description: 'The PostgreSQL database in which events land. Left out: the embedded store in the data directory.',
    isSecret: true,
    schema: v.pipe(v.string(), v.regex(/^postgres(?:ql)?:\/\//), v.url()),
  },
  deadSqlstates: {
    variable: 'MILLRACE_DEAD_SQLSTATES',
    default: null,
    unset: [],
    unit: null,
    allowed: `a comma list of SQLSTATEs, none of the classes ${outageClasses.join(', ')}`,
    example: 'P0001,U0042',
    description:
      'Further error codes of PostgreSQL that mean that one event can not land, for example what triggers raise. Such an event becomes a dead letter.',
    schema: commaList(deadSqlstate),
  },
  topics: {
    variable: 'MILLRACE_TOPICS',
    default: defaultTopic,
    unit: null,
    allowed: 'a comma list of `name` or `name:partitions` (1 to 1024), names as in `[a-z0-9][a-z0-9._-]{0,63}`',
    example: 'events,orders:4',
    description:
      'The topics that may be published to. `events` always is one. Partitions can be added, not taken away; without a number there is 1, on a Redis Cluster 8.',
    schema: topics,
  },
  roles: {
    variable: 'MILLRACE_ROLES',
    default: roles.join(','),
    unit: null,
    allowed: `a comma list of ${roles.map((role) => `\`${role}\``).join(', ')}`,
    example: 'ingest',
    description: 'What this process does: `ingest` takes events, `worker` lands them.',
    schema: v.pipe(commaList(role), withoutRepeats(String)),
  },
  maxWaitingEvents: {
    variable: 'MILLRACE_MAX_WAITING_EVENTS',
    default: '1000000',
    example: '1000000',
    description:
      'The most events that wait in one partition. Low priority is taken up to 80 % of it, normal 90 %, high 100 %; beyond, publishes are refused.',
    ...numberOf('events', 1, 1_000_000_000),
  },
  maxWaitingBytes: {
    variable: 'MILLRACE_MAX_WAITING_BYTES',
    default: String(gibibyte),
    example: String(gibibyte),
    description: 'The same in bytes; whichever limit is reached first counts.',
    ...numberOf('bytes', 1, pebibyte),
  },
  landingMaxEvents: {
    variable: 'MILLRACE_LANDING_MAX_EVENTS',
    default: '8000',
    example: '8000',
    description: 'The most events that land in one transaction.',
    ...numberOf('events', 1, 100_000),
  },
  landingMaxWaitMs: {
    variable: 'MILLRACE_LANDING_MAX_WAIT_MS',
    default: '100',
    example: '100',
    description: 'The longest that an event waits for others to land with.',
    ...numberOf('milliseconds', 0, 60_000),
  },
  leaseMs: {
    variable: 'MILLRACE_LEASE_MS',
    default: '30000',
    example: '30000',
    description: 'How long a worker that has gone silent keeps what it holds.',
    ...numberOf('milliseconds', 100, hourMs),
  },
  retentionMs: {
    variable: 'MILLRACE_RETENTION_MS',
    default: String(hourMs),
    example: String(hourMs),
    description: 'How long settled events stay in the log. What is waiting is never removed.',
    ...numberOf('milliseconds', 0, 365 * 24 * hourMs),
  },
  retentionBytes: {
    variable: 'MILLRACE_RETENTION_BYTES',
    default: String(256 * mebibyte),
    example: String(256 * mebibyte),
    description: 'How much of them each stream keeps; the limit that is passed first counts.',
    ...numberOf('bytes', 0, pebibyte),
  },
  drainMs: {
    variable: 'MILLRACE_DRAIN_MS',
    default: '25000',
    example: '25000',
    description: 'How long a server that was told to stop may finish what it has begun.',
    ...numberOf('milliseconds', 0, hourMs),
  },
  durability: {
    variable: 'MILLRACE_DURABILITY',
    default: null,
    unset: null,
    unit: null,
    allowed: '`disk`, and with Redis also `broker`, `replicated(n)` or `replicated_disk(n)` (n from 1 to 16)',
    example: 'disk',
    description:
      'What an event has reached when it is answered as accepted. `disk`: written and flushed. `broker`: Redis has it. `replicated(n)`: n replicas have it too. Left out: `disk`, with Redis `broker`.',
    schema: durability,
  },
  diskReserveBytes: {
    variable: 'MILLRACE_DISK_RESERVE_BYTES',
    default: String(256 * mebibyte),
    example: String(256 * mebibyte),
    description: 'Free space that publishes leave alone, so that landing and cleaning up go on when the disk is full.',
    ...numberOf('bytes', 0, pebibyte),
  },
  logLevel: {
    variable: 'MILLRACE_LOG_LEVEL',
    default: 'info',
    unit: null,
    allowed: `one of ${logLevels.map((level) => `\`${level}\``).join(', ')}`,
    example: 'info',
    description: 'The least urgent lines that the server logs.',
    schema: v.picklist(logLevels),
  },
}

/** A setting of the table; `key` is its field of Config and the name that commander gives its flag. */
export interface Setting extends Row<unknown> {
  readonly key: keyof Config
  readonly flag: string
}

/** The table, in the order in which people read it. */
export const settings: readonly Setting[] = Object.entries(table).map(([key, row]) => ({
  ...row,
  key: key as keyof Config,
  flag: `--${withoutPrefix(row.variable).toLowerCase().replaceAll('_', '-')}`,
}))

/** As people say it where only ours are meant. */
export function withoutPrefix(variable: string): string {
  return variable.slice(prefix.length)
}

function checkRedisUrl({ dataset, addIssue }: v.RawCheckContext<string>): void {
  if (!dataset.typed) return
  try {
    readRedisUrl(dataset.value)
  } catch (thrown) {
    if (!(thrown instanceof MillraceError)) throw thrown
    addIssue({ message: thrown.message })
  }
}

function withoutRepeats<Value>(nameOf: (value: Value) => string) {
  return v.checkItems<Value[], (issue: v.CheckItemsIssue<Value[]>) => string>(
    (value, index, all) => all.findIndex((other) => nameOf(other) === nameOf(value)) === index,
    ({ input }) => `${JSON.stringify(nameOf(input))} is there twice`,
  )
}

function numberOf(unit: 'bytes' | 'events' | 'milliseconds' | null, min: number, max: number) {
  return {
    unit,
    allowed: unit === null ? `a whole number from ${min} to ${max}` : `a whole number of ${unit} from ${min} to ${max}`,
    schema: wholeNumber(min, max),
  }
}
