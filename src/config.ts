// The configuration: one table, and a loader that names every problem at once.
//
// Job: turn environment and flags into a frozen Config, or into a list of problems that say what is wrong, what is
// allowed and how it would look. docs/config.md is this table as a page; test/reference.test.ts compares the two.
// Not its job: reading process.env or the disk (the caller hands in what it read). Every command loads this file first,
// so it imports little.

import { resolve } from 'node:path'
import { MillraceError } from './errors.ts'
import { defaultTopic, isTopicName } from './event.ts'
import { closestWord } from './lib/closest-word.ts'
import {
  isHost,
  notAllowed,
  type Parsed,
  parseCommaList,
  parseHostAndPort,
  parseOneOf,
  parseWholeNumber,
} from './lib/text-value.ts'

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
  readonly durability: 'disk'
  readonly diskReserveBytes: number
  readonly logLevel: LogLevel
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
  readonly parse: (text: string, cwd: string) => Parsed<Value>
}

const prefix = 'MILLRACE_'
const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3
const pebibyte = 1024 ** 5
const hourMs = 3_600_000

/** Of SQLSTATEs that are never about one event: connections, rights, resources, the server itself. */
const outageClasses: readonly string[] = ['08', '25', '28', '40', '53', '57', '58', 'XX']

const table: { readonly [Key in keyof Config]: Row<Config[Key]> } = {
  dataDir: {
    variable: 'MILLRACE_DATA_DIR',
    default: './data',
    unit: null,
    allowed: 'the path of a directory',
    example: '/var/lib/millrace',
    description:
      'Where the log and the store are kept; made when missing. One server per directory, on a disk of this machine.',
    parse: (text, cwd) => (text.includes('\0') ? notAllowed : { value: resolve(cwd, text) }),
  },
  host: {
    variable: 'MILLRACE_HOST',
    default: '127.0.0.1',
    unit: null,
    allowed: 'an IP address or a host name',
    example: '127.0.0.1',
    description: 'The address to listen on. One that other machines can reach needs `MILLRACE_AUTH=off`.',
    parse: (text) => (isHost(text) ? { value: text } : notAllowed),
  },
  httpPort: {
    variable: 'MILLRACE_HTTP_PORT',
    default: '8080',
    example: '8080',
    description: 'The port for HTTP. 0 takes any free one; `addresses.json` in the data directory names it.',
    ...wholeNumber(null, 0, 65_535),
  },
  grpcPort: {
    variable: 'MILLRACE_GRPC_PORT',
    default: '50051',
    example: '50051',
    description: 'The port for gRPC. 0 takes any free one; `addresses.json` in the data directory names it.',
    ...wholeNumber(null, 0, 65_535),
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
    parse: (text) => parseCommaList(text, parseHostAndPort),
  },
  auth: {
    variable: 'MILLRACE_AUTH',
    default: null,
    unset: null,
    unit: null,
    allowed: '`off`',
    example: 'off',
    description: '`off` lets whoever reaches the server use it. Needed for any address but loopback.',
    parse: (text) => parseOneOf<'off'>(text, ['off']),
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
    parse: (text) => (isPostgresUrl(text) ? { value: text } : notAllowed),
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
    parse: (text) => parseCommaList(text, parseDeadSqlState),
  },
  topics: {
    variable: 'MILLRACE_TOPICS',
    default: defaultTopic,
    unit: null,
    allowed: 'a comma list of `name` or `name:partitions` (1 to 1024), names as in `[a-z0-9][a-z0-9._-]{0,63}`',
    example: 'events,orders:4',
    description:
      'The topics that may be published to. `events` always is one; partitions can be added, not taken away.',
    parse: parseTopics,
  },
  roles: {
    variable: 'MILLRACE_ROLES',
    default: roles.join(','),
    unit: null,
    allowed: `a comma list of ${roles.map((role) => `\`${role}\``).join(', ')}`,
    example: 'ingest',
    description: 'What this process does: `ingest` takes events, `worker` lands them.',
    parse: parseRoles,
  },
  maxWaitingEvents: {
    variable: 'MILLRACE_MAX_WAITING_EVENTS',
    default: '1000000',
    example: '1000000',
    description:
      'The most events that wait in one partition. Low priority is taken up to 80 % of it, normal 90 %, high 100 %; beyond, publishes are refused.',
    ...wholeNumber('events', 1, 1_000_000_000),
  },
  maxWaitingBytes: {
    variable: 'MILLRACE_MAX_WAITING_BYTES',
    default: String(gibibyte),
    example: String(gibibyte),
    description: 'The same in bytes; whichever limit is reached first counts.',
    ...wholeNumber('bytes', 1, pebibyte),
  },
  landingMaxEvents: {
    variable: 'MILLRACE_LANDING_MAX_EVENTS',
    default: '8000',
    example: '8000',
    description: 'The most events that land in one transaction.',
    ...wholeNumber('events', 1, 100_000),
  },
  landingMaxWaitMs: {
    variable: 'MILLRACE_LANDING_MAX_WAIT_MS',
    default: '100',
    example: '100',
    description: 'The longest that an event waits for others to land with.',
    ...wholeNumber('milliseconds', 0, 60_000),
  },
  leaseMs: {
    variable: 'MILLRACE_LEASE_MS',
    default: '30000',
    example: '30000',
    description: 'How long a worker that has gone silent keeps what it holds.',
    ...wholeNumber('milliseconds', 100, hourMs),
  },
  retentionMs: {
    variable: 'MILLRACE_RETENTION_MS',
    default: String(hourMs),
    example: String(hourMs),
    description: 'How long settled events stay in the log. What is waiting is never removed.',
    ...wholeNumber('milliseconds', 0, 365 * 24 * hourMs),
  },
  retentionBytes: {
    variable: 'MILLRACE_RETENTION_BYTES',
    default: String(256 * mebibyte),
    example: String(256 * mebibyte),
    description: 'How much of them each stream keeps; the limit that is passed first counts.',
    ...wholeNumber('bytes', 0, pebibyte),
  },
  drainMs: {
    variable: 'MILLRACE_DRAIN_MS',
    default: '25000',
    example: '25000',
    description: 'How long a server that was told to stop may finish what it has begun.',
    ...wholeNumber('milliseconds', 0, hourMs),
  },
  durability: {
    variable: 'MILLRACE_DURABILITY',
    default: 'disk',
    unit: null,
    allowed: '`disk`',
    example: 'disk',
    description: 'What an event has reached when it is answered as accepted. `disk`: written and flushed.',
    parse: (text) => (laterDurability.test(text) ? notSupported : parseOneOf(text, ['disk'])),
  },
  diskReserveBytes: {
    variable: 'MILLRACE_DISK_RESERVE_BYTES',
    default: String(256 * mebibyte),
    example: String(256 * mebibyte),
    description: 'Free space that publishes leave alone, so that landing and cleaning up go on when the disk is full.',
    ...wholeNumber('bytes', 0, pebibyte),
  },
  logLevel: {
    variable: 'MILLRACE_LOG_LEVEL',
    default: 'info',
    unit: null,
    allowed: `one of ${logLevels.map((level) => `\`${level}\``).join(', ')}`,
    example: 'info',
    description: 'The least urgent lines that the server logs.',
    parse: (text) => parseOneOf(text, logLevels),
  },
}

function isPostgresUrl(text: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text)
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

/** Variables of the wire contract that later versions will know. Passing over them would hide that they do nothing. */
const laterVariables: readonly string[] = [
  'MILLRACE_REDIS_URL',
  'MILLRACE_REDIS_PREFIX',
  'MILLRACE_REDIS_TRUST_DISK',
  'MILLRACE_UPSTREAM',
  'MILLRACE_WORKER_CONCURRENCY',
  'MILLRACE_MAX_ATTEMPTS',
  'MILLRACE_HANDLERS',
  'MILLRACE_REPLY_TTL_MS',
]

export interface ConfigInput {
  readonly env: Readonly<Record<string, string | undefined>>
  /** By key of Config; other keys are a command's own and passed over. A flag wins over its variable. */
  readonly flags?: Readonly<Record<string, string | undefined>>
  /** What a relative data directory is relative to. */
  readonly cwd: string
  /** The text of a file; throws when it cannot be read. */
  readonly readFile?: (path: string) => string
}

export interface ConfigProblem {
  readonly variable: string
  /** A whole sentence: name, bad value, what is allowed, an example. */
  readonly message: string
}

/** Thrown by loadConfig. Its message lists all problems. */
export class ConfigError extends MillraceError {
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    const heading = problems.length === 1 ? 'a setting is wrong' : `${problems.length} settings are wrong`
    super('invalid_event', [`${heading}:`, ...problems.map(({ message }) => `  ${message}`)].join('\n'))
    this.problems = problems
  }
}

/** The configuration that the input describes, frozen. Throws ConfigError with every problem. */
export function loadConfig(input: ConfigInput): Config {
  const problems: ConfigProblem[] = []
  const values: Partial<Record<keyof Config, unknown>> = {}
  for (const setting of settings) {
    const text = chosenText(setting, input, problems)
    if (text === null) {
      values[setting.key] = setting.unset
      continue
    }
    const parsed = text === '' ? { refused: 'it is empty' } : setting.parse(text, input.cwd)
    if ('value' in parsed) values[setting.key] = parsed.value
    else problems.push({ variable: setting.variable, message: refusal(setting, text, parsed.refused, input) })
  }
  const config = Object.freeze(values) as unknown as Config
  problems.push(...contradictions(config), ...unknownVariables(input.env))
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

export interface EffectiveSetting {
  readonly variable: string
  readonly flag: string
  /** As it would be written; null when it is unset. */
  readonly value: string | null
  readonly source: 'default' | 'environment' | 'flag'
}

/** Each setting with its value and where that came from, for people. Throws as loadConfig does. */
export function describeConfig(input: ConfigInput): readonly EffectiveSetting[] {
  const config = loadConfig(input)
  return settings.map((setting) => ({
    variable: setting.variable,
    flag: setting.flag,
    value: shown(setting, textOf(config[setting.key])),
    source: sourceOf(setting, input),
  }))
}

/** What is allowed, but should be known to whoever runs it; the server logs it at start. */
export function warnings(config: Config): readonly string[] {
  if (isLoopback(config.host)) return []
  return [`MILLRACE_AUTH=off: whoever can reach ${config.host} can publish and read events`]
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function sourceOf(setting: Setting, { env, flags }: ConfigInput): EffectiveSetting['source'] {
  if (flags?.[setting.key] !== undefined) return 'flag'
  return env[setting.variable] === undefined && env[fileVariable(setting)] === undefined ? 'default' : 'environment'
}

function chosenText(setting: Setting, input: ConfigInput, problems: ConfigProblem[]): string | null {
  const { env, flags } = input
  return flags?.[setting.key] ?? env[setting.variable] ?? textOfFile(setting, input, problems) ?? setting.default
}

/** The variable that names a file with the value of a secret. */
function fileVariable({ variable }: Setting): string {
  return `${variable}_FILE`
}

function textOfFile(setting: Setting, { env, readFile }: ConfigInput, problems: ConfigProblem[]): string | null {
  const variable = fileVariable(setting)
  const path = env[variable]
  if (setting.isSecret !== true || path === undefined || readFile === undefined) return null
  try {
    return readFile(path).trim()
  } catch (error) {
    problems.push({ variable, message: `${variable} is ${JSON.stringify(path)}: ${(error as Error).message}` })
    return null
  }
}

/** Without the password of a URL. */
function shown({ isSecret }: Setting, text: string | null): string | null {
  return isSecret === true && text !== null ? text.replace(/:[^:@/]*@/, ':[redacted]@') : text
}

function refusal(setting: Setting, text: string, reason: string | null, input: ConfigInput): string {
  const byFlag = sourceOf(setting, input) === 'flag'
  const name = byFlag ? `${setting.flag} (${setting.variable})` : setting.variable
  const example = byFlag ? `${setting.flag} ${setting.example}` : `${setting.variable}=${setting.example}`
  const visible = shown(setting, text) ?? ''
  const quoted = JSON.stringify(visible.length > 100 ? `${visible.slice(0, 100)}…` : visible)
  const because = reason === null ? '' : `${reason}; `
  return `${name} is ${quoted}: ${because}it must be ${setting.allowed}, for example ${example}`
}

/** Values that are right each for itself but not together. A value that was refused is not there. */
function contradictions({ host, auth, httpPort, grpcPort }: Partial<Config>): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  if (host !== undefined && !isLoopback(host) && auth === null) {
    const message = `MILLRACE_HOST is ${JSON.stringify(host)}: other machines can reach it and there are no keys; it must be a loopback address, for example MILLRACE_HOST=127.0.0.1, or say MILLRACE_AUTH=off to let everybody in`
    problems.push({ variable: 'MILLRACE_HOST', message })
  }
  if (httpPort !== undefined && httpPort === grpcPort && httpPort !== 0) {
    const message = `MILLRACE_GRPC_PORT is "${grpcPort}": MILLRACE_HTTP_PORT has that port; it must be another one, for example MILLRACE_GRPC_PORT=${httpPort === 50_051 ? 50_052 : 50_051}`
    problems.push({ variable: 'MILLRACE_GRPC_PORT', message })
  }
  return problems
}

/** A variable that is not in the table is a slip of the finger or meant for another version: both should be seen. */
function unknownVariables(env: ConfigInput['env']): ConfigProblem[] {
  const known = settings.flatMap((setting) =>
    setting.isSecret === true ? [setting.variable, fileVariable(setting)] : [setting.variable],
  )
  return Object.keys(env)
    .filter((variable) => variable.startsWith(prefix) && env[variable] !== undefined && !known.includes(variable))
    .map((variable) => {
      if (laterVariables.includes(variable)) {
        return { variable, message: `${variable} is not supported by this version; unset it` }
      }
      const closest = closestWord(withoutPrefix(variable), known.map(withoutPrefix))
      const advice = closest === null ? 'docs/config.md lists all that are' : `did you mean ${prefix}${closest}?`
      return { variable, message: `${variable} is not known; ${advice}` }
    })
}

function withoutPrefix(variable: string): string {
  return variable.slice(prefix.length)
}

function textOf(value: Config[keyof Config]): string | null {
  if (value === null) return null
  if (typeof value !== 'object') return String(value)
  if (value.length === 0) return null
  return value.map((part) => (typeof part === 'object' ? `${part.name}:${part.partitions}` : part)).join(',')
}

const notSupported = { refused: 'it is not supported by this version' } as const
const laterDurability = /^(memory|broker|replicated(_disk)?\(\d+\))$/

function parseRoles(text: string): Parsed<readonly Role[]> {
  const parsed = parseCommaList(text, (part) => {
    return part === 'gateway' ? { refused: '`gateway` is not supported by this version' } : parseOneOf(part, roles)
  })
  return 'value' in parsed ? withoutRepeats(parsed.value, (role) => role) : parsed
}

function parseDeadSqlState(text: string): Parsed<string> {
  return /^[0-9A-Z]{5}$/.test(text) && !outageClasses.includes(text.slice(0, 2)) ? { value: text } : notAllowed
}

function parseTopics(text: string): Parsed<readonly TopicConfig[]> {
  const parsed = parseCommaList(text, parseTopic)
  if (!('value' in parsed)) return parsed
  const hasDefault = parsed.value.some(({ name }) => name === defaultTopic)
  const topics = hasDefault ? parsed.value : [{ name: defaultTopic, partitions: 1 }, ...parsed.value]
  return withoutRepeats(topics, ({ name }) => name)
}

function parseTopic(text: string): Parsed<TopicConfig> {
  const [name = '', partitions = '1', ...rest] = text.split(':')
  const count = parseWholeNumber(partitions, 1, 1024)
  return rest.length === 0 && isTopicName(name) && 'value' in count
    ? { value: { name, partitions: count.value } }
    : notAllowed
}

function withoutRepeats<Value>(values: readonly Value[], nameOf: (value: Value) => string): Parsed<readonly Value[]> {
  const names = values.map(nameOf)
  const repeated = names.find((name, index) => names.indexOf(name) !== index)
  return repeated === undefined ? { value: values } : { refused: `${JSON.stringify(repeated)} is there twice` }
}

function wholeNumber(unit: 'bytes' | 'events' | 'milliseconds' | null, min: number, max: number) {
  return {
    unit,
    allowed: unit === null ? `a whole number from ${min} to ${max}` : `a whole number of ${unit} from ${min} to ${max}`,
    parse: (text: string) => parseWholeNumber(text, min, max),
  }
}
