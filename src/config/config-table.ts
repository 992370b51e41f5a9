// The table of settings: variable, default, unit, allowed values and schema of each.
//
// docs/config.md is this table as a page; test/reference.test.ts compares the two. config.ts builds the configuration
// from it.

import * as v from 'valibot'
import { MillraceError } from '../errors.ts'
import type { DurabilityLevel } from '../event/durability.ts'
import { defaultTopic, isTopicName } from '../event/event.ts'
import { heartbeatTopic } from '../event/heartbeat.ts'
import type { PartitionBy } from '../event/partition-by.ts'
import { commaList, host, hostAndPort, origin, type TextSchema, wholeNumber } from '../lib/text-value.ts'
import { readPostgresUrl } from './postgres-url.ts'
import { readRedisUrl } from './redis-url.ts'

export const roles = ['ingest', 'worker', 'gateway'] as const
export type Role = (typeof roles)[number]

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof logLevels)[number]

export interface TopicConfig {
  readonly name: string
  readonly partitions: number
  readonly partitionBy: PartitionBy
}

/** Partitions are null where the default applies. */
export interface WrittenTopic extends Omit<TopicConfig, 'partitions'> {
  readonly partitions: number | null
}

/** All values are valid. Units and meaning: see the table. */
export interface Config {
  /** An absolute path. */
  readonly dataDir: string
  readonly host: string
  readonly httpPort: number
  readonly grpcPort: number
  /** `host:port`, tried in order. Empty: from addresses.json, else 127.0.0.1:50051. */
  readonly address: readonly string[]
  readonly auth: 'keys' | 'off' | null
  /** What client commands send; null: what the data directory has, or none. */
  readonly key: string | null
  readonly allowedHosts: readonly string[]
  readonly corsOrigins: readonly string[]
  /** `/`, or a path without a slash at its end. */
  readonly basePath: string
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  /** Absolute paths of PEM files. Certificate and key are both set, or neither: then the server listens without TLS. */
  readonly tlsCert: string | null
  readonly tlsKey: string | null
  readonly tlsClientCa: string | null
  readonly tlsClientCrl: string | null
  /** For client commands: an absolute path, or `system`. */
  readonly tlsCa: string | null
  readonly tlsClientCert: string | null
  readonly tlsClientKey: string | null
  /** Null: the embedded log. */
  readonly redisUrl: string | null
  readonly redisPrefix: string
  readonly redisTrustDisk: boolean
  /** Null: the embedded store. */
  readonly postgresUrl: string | null
  readonly deadSqlstates: readonly string[]
  /** Always includes the topics `events` and `heartbeats`. */
  readonly topics: readonly TopicConfig[]
  readonly roles: readonly Role[]
  /** `host:port` of the servers that a gateway calls, tried in order; empty without the role `gateway`. */
  readonly upstream: readonly string[]
  readonly maxWaitingEvents: number
  readonly maxWaitingBytes: number
  readonly landingMaxEvents: number
  readonly landingMaxWaitMs: number
  readonly leaseMs: number
  readonly agentOfflineMs: number
  /** Absolute paths of modules. */
  readonly handlers: readonly string[]
  readonly workerConcurrency: number
  readonly maxAttempts: number
  readonly retentionMs: number
  readonly retentionBytes: number
  readonly replyTtlMs: number
  readonly drainMs: number
  readonly durability: DurabilityLevel
  /** An absolute path. */
  readonly filesDir: string
  readonly fileMaxBytes: number
  readonly filesMaxBytes: number
  readonly uploadsMax: number
  readonly uploadIdleMs: number
  readonly subscriberMaxBytes: number
  readonly diskReserveBytes: number
  readonly logLevel: LogLevel
  /** Null: no spans are made. */
  readonly otelExporterOtlpEndpoint: string | null
  readonly otelTracesSampler: SamplerName
  /** A ratio, 0 to 1. */
  readonly otelTracesSamplerArg: number
}

/** The values as configured, without the defaults that depend on other settings. `dataDir` may be relative. */
export interface WrittenConfig extends Omit<Config, 'topics' | 'durability' | 'filesDir' | 'landingMaxEvents'> {
  readonly landingMaxEvents: number | null
  readonly filesDir: string | null
  readonly topics: readonly WrittenTopic[]
  readonly durability: DurabilityLevel | null
}

/** One row of the table. */
interface Row<Value> {
  readonly variable: string
  /** The default as text; null when there is none, then `unset` is the value. */
  readonly default: string | null
  readonly unset?: Value
  /** The unit of a number. */
  readonly unit: 'bytes' | 'events' | 'milliseconds' | null
  /** Completes the sentence "it must be …". */
  readonly allowed: string
  readonly example: string
  readonly description: string
  /** May hold a password: output always masks it, and `<variable>_FILE` may name a file that holds the value. */
  readonly isSecret?: true
  /** A second, shorter flag. */
  readonly alias?: string
  /** A key: output shows none of it, and its flag names a file, because other users see the flags of a process. */
  readonly isKey?: true
  readonly schema: TextSchema<Value>
}

export const samplerNames = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const
export type SamplerName = (typeof samplerNames)[number]

export const prefix = 'MILLRACE_'
const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3
const pebibyte = 1024 ** 5
const hourMs = 3_600_000

/** Classes of SQLSTATEs that never concern a single event: connections, rights, resources, the server itself. */
const outageClasses: readonly string[] = ['08', '25', '28', '40', '53', '57', '58', 'XX']

const deadSqlstate = v.pipe(v.string(), v.regex(new RegExp(`^(?!${outageClasses.join('|')})[0-9A-Z]{5}$`)))

const role = v.pipe(v.string(), v.picklist(roles))

const partitionBy = v.pipe(
  v.string(),
  v.regex(/^(?:key|source|subject|attributes\..{1,255})$/),
  v.transform((text) => text as PartitionBy),
)

const topic = v.pipe(
  v.string(),
  v.transform((text): unknown => text.split(':')),
  v.strictTuple([v.pipe(v.string(), v.check(isTopicName)), v.optional(wholeNumber(1, 1024)), v.optional(partitionBy)]),
  v.transform(([name, partitions = null, by = 'key']) => ({ name, partitions, partitionBy: by })),
)

const basePath = v.pipe(
  v.string(),
  v.maxLength(200),
  v.regex(/^\/$|^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~-]+)+\/?$/),
  v.transform((text) => (text === '/' ? text : text.replace(/\/$/, ''))),
)

const heartbeats: WrittenTopic = { name: heartbeatTopic, partitions: 1, partitionBy: 'key' }

const topics = v.pipe(
  commaList(topic),
  v.transform((listed): WrittenTopic[] => {
    const has = (topic: string) => listed.some(({ name }) => name === topic)
    const own: WrittenTopic[] = has(defaultTopic) ? [] : [{ name: defaultTopic, partitions: null, partitionBy: 'key' }]
    // On a Cluster too it has one partition unless more are asked for.
    const given = listed.map((each) =>
      each.name === heartbeatTopic ? { ...each, partitions: each.partitions ?? 1 } : each,
    )
    return [...own, ...given, ...(has(heartbeatTopic) ? [] : [heartbeats])]
  }),
  withoutRepeats(({ name }) => name),
)

const durability = v.pipe(
  v.string(),
  v.notValue('memory', 'the logs of Millrace do not offer it'),
  v.regex(/^(?:disk|broker|replicated(?:_disk)?\((?:[1-9]|1[0-6])\))$/),
  v.transform((text) => {
    const [level, replicas] = text.split(/[()]/)
    return (replicas === undefined ? { level } : { level, replicas: Number(replicas) }) as DurabilityLevel
  }),
)

const path = v.pipe(v.string(), v.excludes('\0'))

/** Columns of the settings that name a file of certificates or of a key. */
const pemFile = { default: null, unset: null, unit: null, allowed: 'the path of a PEM file', schema: path } as const

const table: { readonly [Key in keyof Config]: Row<WrittenConfig[Key]> } = {
  dataDir: {
    variable: 'MILLRACE_DATA_DIR',
    default: './data',
    unit: null,
    allowed: 'the path of a directory',
    example: '/var/lib/millrace',
    description: 'Directory of the log and the store; created when missing. One server per directory, on a local disk.',
    schema: path,
  },
  host: {
    variable: 'MILLRACE_HOST',
    default: '127.0.0.1',
    unit: null,
    allowed: 'an IP address or a host name',
    example: '127.0.0.1',
    description: 'The address to listen on. On any but loopback callers need keys, unless `MILLRACE_AUTH=off`.',
    schema: host,
  },
  httpPort: {
    variable: 'MILLRACE_HTTP_PORT',
    default: '8080',
    example: '8080',
    description: 'The port for HTTP. 0 takes any free port, which `addresses.json` in the data directory then names.',
    ...numberOf(null, 0, 65_535),
  },
  grpcPort: {
    variable: 'MILLRACE_GRPC_PORT',
    default: '50051',
    example: '50051',
    description: 'The port for gRPC. 0 takes any free port, which `addresses.json` in the data directory then names.',
    ...numberOf(null, 0, 65_535),
  },
  address: {
    variable: 'MILLRACE_ADDRESS',
    default: null,
    unset: [],
    unit: null,
    allowed: 'a comma-separated list of `host:port`',
    example: '127.0.0.1:50051',
    description:
      'gRPC addresses that client commands connect to, tried in order. Unset: the address in `addresses.json` of the data directory, else `127.0.0.1:50051`.',
    schema: commaList(hostAndPort),
  },
  auth: {
    variable: 'MILLRACE_AUTH',
    default: null,
    unset: null,
    unit: null,
    allowed: '`keys` or `off`',
    example: 'keys',
    description:
      '`keys`: every call needs an API key (docs/keys.md). `off`: none does, so every client that reaches the server can use it. Unset: `off` on a loopback address, `keys` on any other.',
    schema: v.picklist(['keys', 'off']),
  },
  key: {
    variable: 'MILLRACE_KEY',
    default: null,
    unset: null,
    unit: null,
    allowed: 'a key that `millrace keys create` has printed',
    example: '/run/secrets/millrace.key',
    description:
      'The API key that client commands send (docs/keys.md). Unset: that of `admin.key` in the data directory, if it is there and the server is on this machine. `--key-file` names a file that holds it.',
    isSecret: true,
    isKey: true,
    schema: v.pipe(v.string(), v.regex(/^[!-~]{1,255}$/)),
  },
  allowedHosts: {
    variable: 'MILLRACE_ALLOWED_HOSTS',
    default: null,
    unset: [],
    unit: null,
    allowed: 'a comma-separated list of host names',
    example: 'events.example.com',
    description:
      'Further names by which HTTP requests may call this server, against DNS rebinding. IP addresses, `localhost`, `MILLRACE_HOST` and the name of the machine are always allowed. Where callers need keys, any name is.',
    schema: commaList(host),
  },
  corsOrigins: {
    variable: 'MILLRACE_CORS_ORIGINS',
    default: null,
    unset: [],
    unit: null,
    allowed: 'a comma-separated list of origins',
    example: 'https://app.example.com',
    description:
      'Origins whose pages may call the HTTP API from a browser, also from another site. Unset: none but that of the server itself.',
    schema: commaList(origin),
  },
  basePath: {
    variable: 'MILLRACE_BASE_PATH',
    default: '/',
    unit: null,
    allowed: 'a path that begins with `/`, of letters, digits and `._~-`',
    example: '/events-api',
    description:
      'The path under which a proxy serves the HTTP API. Requests are taken with it and without it, and links in answers have it (docs/http.md#behind-a-proxy).',
    schema: basePath,
  },
  connectionsMax: {
    variable: 'MILLRACE_CONNECTIONS_MAX',
    default: '20000',
    unit: null,
    allowed: 'a whole number from 1 to 1000000',
    example: '20000',
    description:
      'Max open connections, HTTP and gRPC together; further ones are closed at once. Each takes an open file of the process.',
    schema: wholeNumber(1, 1_000_000),
  },
  connectionsPerAddressMax: {
    variable: 'MILLRACE_CONNECTIONS_PER_ADDRESS_MAX',
    default: '1000',
    unit: null,
    allowed: 'a whole number from 1 to 1000000',
    example: '20000',
    description: 'The same from one client address. Behind a proxy all clients have its address: raise it.',
    schema: wholeNumber(1, 1_000_000),
  },
  tlsCert: {
    variable: 'MILLRACE_TLS_CERT',
    example: '/etc/millrace/server.pem',
    description:
      'The certificate of the server, with those between it and its authority behind it. gRPC and HTTP then speak TLS only (docs/tls.md).',
    ...pemFile,
  },
  tlsKey: {
    variable: 'MILLRACE_TLS_KEY',
    example: '/etc/millrace/server.key',
    description: 'The private key of the certificate, without a passphrase.',
    ...pemFile,
  },
  tlsClientCa: {
    variable: 'MILLRACE_TLS_CLIENT_CA',
    example: '/etc/millrace/client-ca.pem',
    description: 'The authorities of client certificates. With it, every client must have such a certificate (mTLS).',
    ...pemFile,
  },
  tlsClientCrl: {
    variable: 'MILLRACE_TLS_CLIENT_CRL',
    example: '/etc/millrace/client-crl.pem',
    description:
      'The revocation lists (CRL) of all authorities of MILLRACE_TLS_CLIENT_CA: a client certificate that is in one, and any whose authority has no current one, is refused.',
    ...pemFile,
  },
  tlsCa: {
    variable: 'MILLRACE_TLS_CA',
    default: null,
    unset: null,
    unit: null,
    allowed: 'the path of a PEM file, or `system`',
    example: '/etc/millrace/ca.pem',
    description:
      'For client commands: connect with TLS, to servers with a certificate of these authorities. `system`: those that this machine trusts.',
    alias: '--ca',
    schema: path,
  },
  tlsClientCert: {
    variable: 'MILLRACE_TLS_CLIENT_CERT',
    example: '/etc/millrace/client.pem',
    description: 'For client commands: connect with TLS, and with this certificate to servers that require one.',
    ...pemFile,
  },
  tlsClientKey: {
    variable: 'MILLRACE_TLS_CLIENT_KEY',
    example: '/etc/millrace/client.key',
    description: 'The private key of the client certificate, without a passphrase.',
    ...pemFile,
  },
  redisUrl: {
    variable: 'MILLRACE_REDIS_URL',
    default: null,
    unset: null,
    unit: null,
    allowed:
      '`redis://user:password@host:port`, `rediss://…` with TLS, a comma-separated list of them for a Cluster, or `redis+sentinel://host:port,host:port/master-name`',
    example: 'redis://localhost:6379',
    description:
      'The Redis that keeps the log, so that several processes can share it. Unset: the embedded log in the data directory.',
    isSecret: true,
    schema: v.pipe(v.string(), v.rawCheck(checkUrl(readRedisUrl))),
  },
  redisPrefix: {
    variable: 'MILLRACE_REDIS_PREFIX',
    default: 'millrace',
    unit: null,
    allowed: '1 to 64 of the characters `a-z A-Z 0-9 . _ -`',
    example: 'millrace',
    description: 'Prefix of every Redis key. Processes with the same prefix share one log.',
    schema: v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/)),
  },
  redisTrustDisk: {
    variable: 'MILLRACE_REDIS_TRUST_DISK',
    default: 'false',
    unit: null,
    allowed: '`true` or `false`',
    example: 'true',
    description:
      'For a Redis that denies `CONFIG`, so that its flush settings cannot be checked: `true` asserts that Redis flushes to disk, so that a server with durability `disk` may start.',
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
    allowed:
      'a URL `postgres://user:password@host:port/database`, or `postgres://user@/database?host=/run/postgresql` for a Unix socket',
    example: 'postgres://millrace@localhost:5432/millrace',
    description:
      'The PostgreSQL database in which events land; its encoding must be UTF8. Unset: the embedded store in the data directory.',
    isSecret: true,
    schema: v.pipe(v.string(), v.rawCheck(checkUrl(readPostgresUrl))),
  },
  deadSqlstates: {
    variable: 'MILLRACE_DEAD_SQLSTATES',
    default: null,
    unset: [],
    unit: null,
    allowed: `a comma-separated list of SQLSTATEs, except the classes ${outageClasses.join(', ')}`,
    example: 'P0001,U0042',
    description:
      'Additional PostgreSQL error codes that mean that this one event can never land, for example those that triggers raise. Such an event becomes a dead letter.',
    schema: commaList(deadSqlstate),
  },
  topics: {
    variable: 'MILLRACE_TOPICS',
    default: defaultTopic,
    unit: null,
    allowed:
      'a comma-separated list of `name`, `name:partitions` (1 to 1024) or `name:partitions:by`, where `by` is `key`, `source`, `subject` or `attributes.NAME`; names as in `[a-z0-9][a-z0-9._-]{0,63}`',
    example: 'events,orders:4,jobs:64:attributes.tenant',
    description:
      'The topics that accept events. `events` and `heartbeats` are always among them; `heartbeats` has one partition unless more are given. Partitions can be added but not removed; the default is 1, on a Redis Cluster 8. `by` names the value that picks the partition, by default the key.',
    schema: topics,
  },
  roles: {
    variable: 'MILLRACE_ROLES',
    default: 'ingest,worker',
    unit: null,
    allowed: `a comma-separated list of ${roles.map((role) => `\`${role}\``).join(', ')}`,
    example: 'ingest',
    description:
      'What this process does: `ingest` accepts events, `worker` lands them. `gateway`, alone, serves the HTTP API of other servers (docs/deploy.md).',
    schema: v.pipe(commaList(role), withoutRepeats(String)),
  },
  upstream: {
    variable: 'MILLRACE_UPSTREAM',
    default: null,
    unset: [],
    unit: null,
    allowed: 'a comma-separated list of `host:port`',
    example: 'ingest:50051',
    description:
      'gRPC addresses of the servers that a gateway calls, tried in order. TLS to them is by `MILLRACE_TLS_CA` and its neighbours.',
    schema: commaList(hostAndPort),
  },
  handlers: {
    variable: 'MILLRACE_HANDLERS',
    default: null,
    unset: [],
    unit: null,
    allowed: 'a comma-separated list of paths of JavaScript or TypeScript modules',
    example: './handler.ts',
    description: 'Modules whose exports are handlers (docs/handlers.md). Processes with the role `worker` run them.',
    schema: commaList(v.pipe(v.string(), v.nonEmpty())),
  },
  workerConcurrency: {
    variable: 'MILLRACE_WORKER_CONCURRENCY',
    default: '16',
    example: '16',
    description: 'Max events at work per handler and process, unless the handler says otherwise.',
    ...numberOf('events', 1, 10_000),
  },
  maxAttempts: {
    variable: 'MILLRACE_MAX_ATTEMPTS',
    default: '5',
    unit: null,
    allowed: 'a whole number from 1 to 1000',
    example: '5',
    description:
      'Attempts of a handler at an event before it becomes a dead letter, unless the handler says otherwise.',
    schema: wholeNumber(1, 1000),
  },
  maxWaitingEvents: {
    variable: 'MILLRACE_MAX_WAITING_EVENTS',
    default: '1000000',
    example: '1000000',
    description:
      'Max waiting events per partition. Low priority is accepted up to 80 % of it, normal up to 90 %, high up to 100 %; beyond that, publishes are rejected.',
    ...numberOf('events', 1, 1_000_000_000),
  },
  maxWaitingBytes: {
    variable: 'MILLRACE_MAX_WAITING_BYTES',
    default: String(gibibyte),
    example: String(gibibyte),
    description: 'The same limit in bytes; the limit that is reached first applies.',
    ...numberOf('bytes', 1, pebibyte),
  },
  landingMaxEvents: {
    variable: 'MILLRACE_LANDING_MAX_EVENTS',
    default: null,
    unset: null,
    example: '8000',
    description:
      'Max events per landing transaction, and 8 MiB of them. Unset: 8000; without Redis and PostgreSQL 64000, because random ids land faster in large transactions.',
    ...numberOf('events', 1, 100_000),
  },
  landingMaxWaitMs: {
    variable: 'MILLRACE_LANDING_MAX_WAIT_MS',
    default: '100',
    example: '100',
    description: 'Max time that events wait for the landing transaction before theirs to end, if they do not fill one.',
    ...numberOf('milliseconds', 0, 60_000),
  },
  leaseMs: {
    variable: 'MILLRACE_LEASE_MS',
    default: '30000',
    example: '30000',
    description: 'How long the events held by an unresponsive worker stay leased to it.',
    ...numberOf('milliseconds', 100, hourMs),
  },
  agentOfflineMs: {
    variable: 'MILLRACE_AGENT_OFFLINE_MS',
    default: '30000',
    example: '30000',
    description: 'How long after its last heartbeat an agent counts as online (docs/agents.md).',
    ...numberOf('milliseconds', 100, 365 * 24 * hourMs),
  },
  retentionMs: {
    variable: 'MILLRACE_RETENTION_MS',
    default: String(hourMs),
    example: String(hourMs),
    description: 'How long settled events stay in the log. Waiting events are never removed.',
    ...numberOf('milliseconds', 0, 365 * 24 * hourMs),
  },
  retentionBytes: {
    variable: 'MILLRACE_RETENTION_BYTES',
    default: String(256 * mebibyte),
    example: String(256 * mebibyte),
    description: 'Max bytes of settled events per stream; the limit that is reached first applies.',
    ...numberOf('bytes', 0, pebibyte),
  },
  replyTtlMs: {
    variable: 'MILLRACE_REPLY_TTL_MS',
    default: String(hourMs),
    example: String(hourMs),
    description: 'How long the reply to a request is kept.',
    ...numberOf('milliseconds', 1000, 30 * 24 * hourMs),
  },
  drainMs: {
    variable: 'MILLRACE_DRAIN_MS',
    default: '25000',
    example: '25000',
    description: 'How long a stopping server may take to finish the work in flight.',
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
      'What is guaranteed when an event is reported as accepted. `disk`: written and flushed to disk. `broker`: Redis holds it. `replicated(n)`: n replicas hold it too. Unset: `disk`, with Redis `broker`.',
    schema: durability,
  },
  filesDir: {
    variable: 'MILLRACE_FILES_DIR',
    default: null,
    unset: null,
    unit: null,
    allowed: 'the path of a directory',
    example: '/srv/millrace-files',
    description:
      'Directory of uploaded files, created when missing. Processes that share a log share it too, for example over NFS. Unset: `files` in the data directory.',
    schema: path,
  },
  fileMaxBytes: {
    variable: 'MILLRACE_FILE_MAX_BYTES',
    default: String(16 * gibibyte),
    example: String(gibibyte),
    description: 'Max size of an uploaded file.',
    ...numberOf('bytes', 1, pebibyte),
  },
  filesMaxBytes: {
    variable: 'MILLRACE_FILES_MAX_BYTES',
    default: String(64 * gibibyte),
    example: String(64 * gibibyte),
    description:
      'Max size of all uploaded files together; beyond that, uploads are refused. What other processes have stored counts within 10 minutes.',
    ...numberOf('bytes', 1, pebibyte),
  },
  uploadsMax: {
    variable: 'MILLRACE_UPLOADS_MAX',
    default: '256',
    unit: null,
    allowed: 'a whole number from 1 to 10000',
    example: '256',
    description: 'Max uploads at once in this process; beyond that, uploads are refused.',
    schema: wholeNumber(1, 10_000),
  },
  uploadIdleMs: {
    variable: 'MILLRACE_UPLOAD_IDLE_MS',
    default: '30000',
    example: '30000',
    description: 'Max pause in an upload; after a longer one it ends and nothing of it is kept.',
    ...numberOf('milliseconds', 100, 600_000),
  },
  subscriberMaxBytes: {
    variable: 'MILLRACE_SUBSCRIBER_MAX_BYTES',
    default: String(32 * mebibyte),
    example: String(32 * mebibyte),
    description:
      'Max bytes of events that wait for one subscriber of the live feed; beyond that, the oldest are dropped.',
    ...numberOf('bytes', 1, gibibyte),
  },
  diskReserveBytes: {
    variable: 'MILLRACE_DISK_RESERVE_BYTES',
    default: String(256 * mebibyte),
    example: String(256 * mebibyte),
    description:
      'Disk space that publishes and uploads must leave free, so that landing and cleanup still work when the disk is full. Landing may use half of it and writes up to 8 MiB at once: with less than 24 MiB it can come to a stop.',
    ...numberOf('bytes', 0, pebibyte),
  },
  logLevel: {
    variable: 'MILLRACE_LOG_LEVEL',
    default: 'info',
    unit: null,
    allowed: `one of ${logLevels.map((level) => `\`${level}\``).join(', ')}`,
    example: 'info',
    description: 'The lowest level that the server logs.',
    schema: v.picklist(logLevels),
  },
  otelExporterOtlpEndpoint: {
    variable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    default: null,
    unset: null,
    unit: null,
    allowed: 'the URL of a collector that takes OTLP over HTTP',
    example: 'http://localhost:4318',
    description: 'Where spans are sent, to `/v1/traces` below it (docs/traces.md). Unset: no spans are made.',
    schema: v.pipe(v.string(), v.regex(/^https?:\/\//), v.url()),
  },
  otelTracesSampler: {
    variable: 'OTEL_TRACES_SAMPLER',
    default: 'parentbased_always_on',
    unit: null,
    allowed: `one of ${samplerNames.map((name) => `\`${name}\``).join(', ')}`,
    example: 'parentbased_traceidratio',
    description:
      'Which traces are recorded. `parentbased_`: those whose caller records them; the rest is for traces that begin here.',
    schema: v.picklist(samplerNames),
  },
  otelTracesSamplerArg: {
    variable: 'OTEL_TRACES_SAMPLER_ARG',
    default: '1',
    unit: null,
    allowed: 'a number from 0 to 1',
    example: '0.01',
    description: 'The share of traces that a sampler with a ratio records.',
    schema: v.pipe(v.string(), v.regex(/^(0|1|0?\.\d{1,9}|[01]\.0{0,9})$/), v.transform(Number)),
  },
}

/** A setting of the table. `key` is its field in Config, and also the name that commander derives from its flag. */
export interface Setting extends Row<unknown> {
  readonly key: keyof Config
  readonly flag: string
  /** The name of the flag in ConfigInput.flags. */
  readonly option: string
}

/** The table, in the order of docs/config.md. */
export const settings: readonly Setting[] = Object.entries(table).map(([key, row]) => ({
  ...row,
  key: key as keyof Config,
  flag: `--${withoutPrefix(row.variable).toLowerCase().replaceAll('_', '-')}${row.isKey === true ? '-file' : ''}`,
  option: row.isKey === true ? `${key}File` : key,
}))

export function withoutPrefix(variable: string): string {
  return variable.startsWith(prefix) ? variable.slice(prefix.length) : variable
}

function checkUrl(read: (text: string) => unknown) {
  return ({ dataset, addIssue }: v.RawCheckContext<string>): void => {
    if (!dataset.typed) return
    try {
      read(dataset.value)
    } catch (thrown) {
      if (!(thrown instanceof MillraceError)) throw thrown
      addIssue({ message: thrown.message })
    }
  }
}

function withoutRepeats<Value>(nameOf: (value: Value) => string) {
  return v.checkItems<Value[], (issue: v.CheckItemsIssue<Value[]>) => string>(
    (value, index, all) => all.findIndex((other) => nameOf(other) === nameOf(value)) === index,
    ({ input }) => `${JSON.stringify(nameOf(input))} is repeated`,
  )
}

function numberOf(unit: 'bytes' | 'events' | 'milliseconds' | null, min: number, max: number) {
  return {
    unit,
    allowed: unit === null ? `a whole number from ${min} to ${max}` : `a whole number of ${unit} from ${min} to ${max}`,
    schema: wholeNumber(min, max),
  }
}
