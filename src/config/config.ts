// The configuration: the values of all settings, or all problems at once.
//
// Job: turn environment and flags into a frozen Config, or into a list of problems, each with the bad value, the allowed
// values and an example. The settings themselves are in config-table.ts.
// Not its job: reading process.env or the disk (the caller passes both in). Every command loads this file first, so it
// imports little.

import { BlockList, isIPv6 } from 'node:net'
import { join, resolve } from 'node:path'
import { closestMatch } from 'leven'
import * as v from 'valibot'
import { MillraceError } from '../errors.ts'
import { durabilityText } from '../event/durability.ts'
import {
  type Config,
  prefix,
  type Setting,
  settings,
  type TopicConfig,
  type WrittenConfig,
  withoutPrefix,
} from './config-table.ts'
import { readRedisUrl } from './redis-url.ts'

export type { Config } from './config-table.ts'

export interface ConfigInput {
  readonly env: Readonly<Record<string, string | undefined>>
  /** By `option` of a setting; others are options of the command and ignored. A flag overrides its variable. */
  readonly flags?: Readonly<Record<string, string | undefined>>
  /** Base of a relative data directory. */
  readonly cwd: string
  /** For commands that only query a server, or clean up: skips the checks of settings that only a server needs. */
  readonly isForClient?: true
  /** Returns the text of a file; throws when it cannot be read. */
  readonly readFile?: (path: string) => string
}

export interface ConfigProblem {
  readonly variable: string
  /** A whole sentence: name, bad value, what is allowed, an example. */
  readonly message: string
}

/** Thrown by loadConfig. The message lists all problems. */
export class ConfigError extends MillraceError {
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    const heading = problems.length === 1 ? 'a setting is wrong' : `${problems.length} settings are wrong`
    super('invalid_event', [`${heading}:`, ...problems.map(({ message }) => `  ${message}`)].join('\n'))
    this.problems = problems
  }
}

/** The configuration, frozen. Throws ConfigError with all problems. */
export function loadConfig(input: ConfigInput): Config {
  const problems: ConfigProblem[] = []
  const values: Partial<Record<keyof Config, unknown>> = {}
  for (const setting of settings) {
    const text = chosenText(setting, input, problems)
    if (text === null) {
      values[setting.key] = setting.unset
      continue
    }
    const schema = v.pipe(v.string(), v.nonEmpty('it is empty'), setting.schema)
    // Issues without a message of their own get none: the allowed values explain them.
    const parsed = v.safeParse(schema, text, { abortEarly: true, message: '' })
    if (parsed.success) values[setting.key] = parsed.output
    else problems.push({ variable: setting.variable, message: refusal(setting, text, parsed.issues[0], input) })
  }
  const written = values as Partial<WrittenConfig>
  problems.push(...contradictionsOfAddress(written), ...contradictionsOfTls(written), ...unknownVariables(input.env))
  if (input.isForClient !== true)
    problems.push(...contradictionsOfServices(written), ...contradictionsOfGateway(written))
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(completed(written as WrittenConfig, input.cwd))
}

/** The value of MILLRACE_TLS_CA that names no file. */
export const systemAuthorities = 'system'

/** On a Cluster, a topic with a single partition would load only one node. */
const partitionsOnCluster = 8

const landingEvents = 8000
/** The index of random ids costs a page or more for each row of a small transaction (docs/decisions/0003-embedded-store-tables.md). */
const embeddedLandingEvents = 64_000

function completed(written: WrittenConfig, cwd: string): Config {
  const { redisUrl, postgresUrl, filesDir, landingMaxEvents } = written
  const dataDir = resolve(cwd, written.dataDir)
  const partitions = redisUrl !== null && readRedisUrl(redisUrl).topology === 'cluster' ? partitionsOnCluster : 1
  return {
    ...written,
    dataDir,
    filesDir: filesDir === null ? join(dataDir, 'files') : resolve(cwd, filesDir),
    handlers: written.handlers.map((path) => resolve(cwd, path)),
    ...absolute(written, cwd),
    topics: written.topics.map((topic) => ({ ...topic, partitions: topic.partitions ?? partitions })),
    landingMaxEvents:
      landingMaxEvents ?? (redisUrl === null && postgresUrl === null ? embeddedLandingEvents : landingEvents),
    durability: written.durability ?? { level: redisUrl === null ? 'disk' : 'broker' },
  }
}

const tlsPaths = [
  ...(['tlsCert', 'tlsKey', 'tlsClientCa', 'tlsClientCrl'] as const),
  ...(['tlsCa', 'tlsClientCert', 'tlsClientKey'] as const),
] as const
type TlsPaths = Pick<Config, (typeof tlsPaths)[number]>

function absolute(written: TlsPaths, cwd: string): TlsPaths {
  const paths = tlsPaths.map((key) => {
    const path = written[key]
    const isPath = path !== null && !(key === 'tlsCa' && path === systemAuthorities)
    return [key, isPath ? resolve(cwd, path) : path] as const
  })
  return Object.fromEntries(paths) as unknown as TlsPaths
}

export interface EffectiveSetting {
  readonly variable: string
  readonly flag: string
  /** The value as text; null when unset. */
  readonly value: string | null
  readonly source: 'default' | 'environment' | 'flag'
}

/** Each setting with its value, secrets masked, and the source of the value. Throws as loadConfig does. */
export function describeConfig(input: ConfigInput): readonly EffectiveSetting[] {
  const config = loadConfig(input)
  return settings.map((setting) => ({
    variable: setting.variable,
    flag: setting.flag,
    value: shown(setting, textOf(config[setting.key])),
    source: sourceOf(setting, input),
  }))
}

/** Settings that are allowed but risky; the server logs them at start. */
export function warnings(config: Config): readonly string[] {
  if (isLoopback(config.host) || needsKeys(config)) return []
  return [`MILLRACE_AUTH=off: every client that can reach ${config.host} can publish and read events`]
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Whether the address is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')
}

/** Whether callers of a server with this configuration need a key. */
export function needsKeys({ host, auth }: Pick<Config, 'host' | 'auth'>): boolean {
  return auth === null ? !isLoopback(host) : auth === 'keys'
}

function sourceOf(setting: Setting, { env, flags }: ConfigInput): EffectiveSetting['source'] {
  if (flags?.[setting.option] !== undefined) return 'flag'
  return env[setting.variable] === undefined && env[fileVariable(setting)] === undefined ? 'default' : 'environment'
}

function chosenText(setting: Setting, input: ConfigInput, problems: ConfigProblem[]): string | null {
  const { env, flags } = input
  const flag = flags?.[setting.option]
  if (flag !== undefined) return setting.isKey === true ? textOfFile(setting.flag, flag, input, problems) : flag
  const written = env[setting.variable]
  if (written !== undefined) return written
  const path = setting.isSecret === true ? env[fileVariable(setting)] : undefined
  return path === undefined ? setting.default : textOfFile(fileVariable(setting), path, input, problems)
}

/** The variable that names a file that holds a secret. */
function fileVariable({ variable }: Setting): string {
  return `${variable}_FILE`
}

/** @param name the variable or flag that names the file. */
function textOfFile(name: string, path: string, { readFile }: ConfigInput, problems: ConfigProblem[]): string | null {
  try {
    return readFile?.(path).trim() ?? null
  } catch (error) {
    problems.push({ variable: name, message: `${name} is ${JSON.stringify(path)}: ${(error as Error).message}` })
    return null
  }
}

/** The text with the passwords of its URLs masked; nothing of a key. */
function shown({ isSecret, isKey }: Setting, text: string | null): string | null {
  if (isKey === true && text !== null) return '[redacted]'
  if (isSecret !== true || text === null) return text
  // Mask from the first colon after the slashes to the last @: with unencoded characters the password is ambiguous.
  const parts = text.split(/,(?=\s*\w+:\/\/)/).map((url) => url.replace(/(:\/\/[^:@]*):.*@/s, '$1:[redacted]@'))
  return parts.join(',').replace(/(password=)[^&]*/gi, '$1[redacted]')
}

function refusal(setting: Setting, text: string, issue: v.BaseIssue<unknown>, input: ConfigInput): string {
  const byFlag = sourceOf(setting, input) === 'flag'
  const name = byFlag ? `${setting.flag} (${setting.variable})` : setting.variable
  const examples = { flag: `${setting.flag} ${setting.example}`, variable: `${setting.variable}=${setting.example}` }
  const example = byFlag || setting.isKey === true ? examples.flag : examples.variable
  const visible = shown(setting, text) ?? ''
  const quoted = JSON.stringify(visible.length > 100 ? `${visible.slice(0, 100)}…` : visible)
  const [part] = issue.path ?? []
  const reason = issue.message === '' && part ? `${JSON.stringify(part.value)} is not valid` : issue.message
  const because = reason === '' ? '' : `${reason}; `
  return `${name} is ${quoted}: ${because}it must be ${setting.allowed}, for example ${example}`
}

/** Values that are each valid but contradict one another. A rejected value is undefined. */
function contradictionsOfAddress({ httpPort, grpcPort }: Partial<WrittenConfig>): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  if (httpPort !== undefined && httpPort === grpcPort && httpPort !== 0) {
    const message = `MILLRACE_GRPC_PORT is "${grpcPort}": MILLRACE_HTTP_PORT has the same port; it must be a different one, for example MILLRACE_GRPC_PORT=${httpPort === 50_051 ? 50_052 : 50_051}`
    problems.push({ variable: 'MILLRACE_GRPC_PORT', message })
  }
  return problems
}

/** Settings of TLS that have no effect, or not the one that was meant, without another one. */
const tlsNeeds = [
  ['tlsCert', 'MILLRACE_TLS_CERT', 'tlsKey', 'MILLRACE_TLS_KEY', 'a certificate needs its key'],
  ['tlsKey', 'MILLRACE_TLS_KEY', 'tlsCert', 'MILLRACE_TLS_CERT', 'a key needs its certificate'],
  ['tlsClientCa', 'MILLRACE_TLS_CLIENT_CA', 'tlsCert', 'MILLRACE_TLS_CERT', 'without TLS no client has a certificate'],
  [
    'tlsClientCrl',
    'MILLRACE_TLS_CLIENT_CRL',
    'tlsClientCa',
    'MILLRACE_TLS_CLIENT_CA',
    'without it no client needs a certificate',
  ],
  [
    'tlsClientCert',
    'MILLRACE_TLS_CLIENT_CERT',
    'tlsClientKey',
    'MILLRACE_TLS_CLIENT_KEY',
    'a certificate needs its key',
  ],
  [
    'tlsClientKey',
    'MILLRACE_TLS_CLIENT_KEY',
    'tlsClientCert',
    'MILLRACE_TLS_CLIENT_CERT',
    'a key needs its certificate',
  ],
] as const

function contradictionsOfTls(written: Partial<WrittenConfig>): ConfigProblem[] {
  return tlsNeeds.flatMap(([key, variable, neededKey, needed, reason]) => {
    const path = written[key]
    if (typeof path !== 'string' || written[neededKey] !== null) return []
    const example = settings.find((setting) => setting.key === neededKey)?.example
    const message = `${variable} is ${JSON.stringify(path)}, and ${needed} is not set: ${reason}; set it too, for example ${needed}=${example}`
    return [{ variable, message }]
  })
}

function contradictionsOfServices({ redisUrl, postgresUrl, durability }: Partial<WrittenConfig>): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  if (redisUrl === null && durability !== undefined && durability !== null && durability.level !== 'disk') {
    const text = durabilityText(durability)
    const message = `MILLRACE_DURABILITY is "${text}": the embedded log supports only \`disk\`; unset it, or set MILLRACE_REDIS_URL, for example MILLRACE_REDIS_URL=redis://localhost:6379`
    problems.push({ variable: 'MILLRACE_DURABILITY', message })
  }
  if (typeof redisUrl === 'string' && postgresUrl === null) {
    const message = `MILLRACE_POSTGRES_URL is not set: processes that share a log on Redis must share one database too, because each lands a part of the events; it must be a URL, for example MILLRACE_POSTGRES_URL=postgres://millrace@localhost:5432/millrace`
    problems.push({ variable: 'MILLRACE_POSTGRES_URL', message })
  }
  return problems
}

/** What a gateway has no use for: each would hide that the server has it, or does not. */
const notOfGateway = [
  ['redisUrl', 'MILLRACE_REDIS_URL', 'it has no log'],
  ['postgresUrl', 'MILLRACE_POSTGRES_URL', 'it has no database'],
  ['durability', 'MILLRACE_DURABILITY', 'it keeps no events'],
  ['handlers', 'MILLRACE_HANDLERS', 'it works on no events'],
] as const

function contradictionsOfGateway(written: Partial<WrittenConfig>): ConfigProblem[] {
  const { roles, upstream } = written
  if (roles === undefined || upstream === undefined) return []
  const problem = (variable: string, text: string) => ({ variable, message: `${variable} ${text}` })
  if (!roles.includes('gateway')) {
    if (upstream.length === 0) return []
    const text = `is "${upstream.join(',')}": only a gateway calls other servers; unset it, or set MILLRACE_ROLES=gateway`
    return [problem('MILLRACE_UPSTREAM', text)]
  }
  const problems = notOfGateway.flatMap(([key, variable, reason]) => {
    const value = written[key]
    const isSet = value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)
    return isSet ? [problem(variable, `is set, and MILLRACE_ROLES is "gateway": ${reason}; unset one of the two`)] : []
  })
  if (roles.length > 1) {
    const text = `is "${roles.join(',')}": a gateway is a process of its own; it must be gateway alone, for example MILLRACE_ROLES=gateway`
    problems.push(problem('MILLRACE_ROLES', text))
  }
  if (upstream.length === 0) {
    const text = `is not set: a gateway needs the servers that it calls; it must be a comma-separated list of \`host:port\`, for example MILLRACE_UPSTREAM=ingest:50051`
    problems.push(problem('MILLRACE_UPSTREAM', text))
  }
  return problems
}

/** A MILLRACE_ variable that is not in the table is a typo, or meant for another version. */
function unknownVariables(env: ConfigInput['env']): ConfigProblem[] {
  const known = settings.flatMap((setting) =>
    setting.isSecret === true ? [setting.variable, fileVariable(setting)] : [setting.variable],
  )
  return Object.keys(env)
    .filter((variable) => variable.startsWith(prefix) && env[variable] !== undefined && !known.includes(variable))
    .map((variable) => {
      const closest = closestMatch(variable, known, { maxDistance: Math.floor(withoutPrefix(variable).length / 3) })
      const advice = closest === undefined ? 'docs/config.md lists all settings' : `did you mean ${closest}?`
      return { variable, message: `${variable} is unknown; ${advice}` }
    })
}

function textOf(value: Config[keyof Config]): string | null {
  if (value === null) return null
  if (typeof value !== 'object') return String(value)
  if ('level' in value) return durabilityText(value)
  if (value.length === 0) return null
  return value.map((part) => (typeof part === 'object' ? topicText(part) : part)).join(',')
}

function topicText({ name, partitions, partitionBy }: TopicConfig): string {
  return partitionBy === 'key' ? `${name}:${partitions}` : `${name}:${partitions}:${partitionBy}`
}
