// The server's logger: one JSON line per log entry, on stderr.
//
// Job: levels, fields, times, errors with their causes, redaction of secrets.
// Not its job: deciding what is logged. Nothing logs per event; the hot path uses metrics (metrics.ts).

import { createRequire } from 'node:module'
import type { Writable } from 'node:stream'
import { pino } from 'pino'
import { describeError } from './describe-error.ts'
import { LogDestination } from './log-destination.ts'
import { mapTexts, safeLine, visibleControls } from './log-line.ts'

export interface LogMethod {
  (fields: object, message: string): void
  (message: string): void
}

/** Fields are lower-case words with underscores: `request_id`, `trace_id`, `topic`. An error goes under `error`. */
export interface Logger {
  readonly trace: LogMethod
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
  readonly fatal: LogMethod
  /** Whether a line of this level is written now: ask where its fields are costly. Absent: each is. */
  isLevelEnabled?(level: LogLevel): boolean
  /** A logger that adds these fields to each line. */
  child(fields: Readonly<Record<string, unknown>>): Logger
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export interface ServerLogger extends Logger {
  /** Number of lines that could not be written since the start. */
  readonly linesLost: number
}

export interface LoggerOptions {
  readonly level: LogLevel
  /** Written in each line, when there is one. */
  readonly version?: string
  /** Default: stderr. */
  readonly destination?: Writable
  /** Readable text instead of JSON. Default: true if the destination is a terminal; JSON if pino-pretty is missing. */
  readonly pretty?: boolean
}

/** Fields that are redacted, at any of the first three nesting levels. */
const secretFields = ['authorization', 'cookie', 'set-cookie', 'password', 'secret', 'token', 'api_key', 'apiKey']
const isSecret = new Set(secretFields)
const maxRedactedDepth = 3
const censor = '[redacted]'

export function createLogger({ level, version, destination = process.stderr, pretty }: LoggerOptions): ServerLogger {
  const prettify = (pretty ?? isTerminal(destination)) ? loadPrettifier(isTerminal(destination)) : null
  const output = new LogDestination(destination, prettify ?? safeLine)
  const logger = pino(
    {
      level,
      base: { service: 'millrace', ...(version === undefined ? {} : { version }) },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: pino.stdTimeFunctions.isoTime,
      // Paths with wildcards in `redact` would take 25 of then 30 µs of a line with six fields.
      formatters: { level: (label) => ({ level: label }), log: redacted },
      serializers: { error: describeError },
      redact: { paths: secretFields.map((field) => `["${field}"]`), censor },
    },
    output,
  )
  return Object.defineProperty(logger, 'linesLost', { get: () => output.linesLost }) as unknown as ServerLogger
}

/** The fields, or a copy of them without the secrets in them. */
function redacted(fields: Record<string, unknown>, depth = 1): Record<string, unknown> {
  let safe = fields
  for (const name in fields) {
    const value = fields[name]
    let shown = value
    if (isSecret.has(name)) shown = censor
    else if (depth < maxRedactedDepth && isPlain(value)) shown = redacted(value, depth + 1)
    if (shown === value) continue
    if (safe === fields) safe = { ...fields }
    safe[name] = shown
  }
  return safe
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

function isTerminal(stream: Writable): boolean {
  return 'isTTY' in stream && stream.isTTY === true
}

/** Null if pino-pretty is missing: it is a development dependency, not part of the installed package. */
function loadPrettifier(colorize: boolean): ((line: string) => string) | null {
  try {
    const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')
    const options = { colorize, messageKey: 'message', errorLikeObjectKeys: ['error'], ignore: 'version' }
    const prettify = prettyFactory({ ...options, translateTime: 'SYS:HH:MM:ss.l' })
    return (line) => prettify(mapTexts(JSON.parse(safeLine(line)), visibleControls))
  } catch {
    return null
  }
}
