// A real HTTP server on a free port with a MemoryPipeline; clients that use fetch or a raw socket.

import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { Health } from '../../telemetry/health.ts'
import { createLogger } from '../../telemetry/logger.ts'
import { createMetrics, type Metrics } from '../../telemetry/metrics.ts'
import { ConnectionLimits } from '../connection-limits.ts'
import { LinesWritten } from '../lines-written.test-support.ts'
import { MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { type HttpServerOptions, startHttpServer } from './http-server.ts'
import type { rejectionJson } from './problem.ts'

export interface TestHttpServer {
  readonly url: string
  readonly address: string
  readonly port: number
  readonly routes: readonly string[]
  readonly pipeline: MemoryPipeline
  readonly health: Health
  readonly metrics: Metrics
  readonly log: LinesWritten
  drain(deadlineMs: number): Promise<void>
}

export async function startTestServer(
  t: TestContext,
  options: Partial<HttpServerOptions> = {},
): Promise<TestHttpServer> {
  const pipeline = new MemoryPipeline()
  const health = options.health ?? new Health([])
  const metrics = createMetrics()
  const log = new LinesWritten()
  const { address, routes, drain } = await startHttpServer({
    pipeline,
    health,
    metrics,
    logger: createLogger({ level: 'debug', version: 'test', destination: log }),
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    connectionLimits: new ConnectionLimits(),
    ...options,
  })
  t.after(async () => {
    pipeline.release()
    await drain(0)
    metrics.close()
  })
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  return { url: `http://${address}`, address, port, routes, pipeline, health, metrics, log, drain }
}

/** The members of all answers; which of them are present depends on the route. */
export interface AnswerJson {
  readonly accepted: number
  readonly dropped: number
  readonly rejected: number
  readonly rejections: readonly ReturnType<typeof rejectionJson>[]
  readonly durability: string
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly code: string
  readonly field: string
  readonly events: readonly Readonly<Record<string, unknown>>[]
  readonly next_cursor: string | null
  readonly ready: boolean
  readonly state: string
  readonly causes: readonly Readonly<Record<string, unknown>>[]
  readonly components: readonly Readonly<Record<string, unknown>>[]
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: AnswerJson
}

export async function ask(url: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson && text !== '' ? JSON.parse(text) : {},
  }
}

/** Posts events as JSON. */
export function post(url: string, body: unknown, query = '', headers: Record<string, string> = {}): Promise<Answer> {
  return ask(`${url}/v1/events${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  })
}

/** Writes bytes to a connection and returns everything received until it is closed. */
export function speak(port: number, ...bytes: (string | Buffer)[]): Promise<string> {
  return speakOn(connect(port, '127.0.0.1'), bytes)
}

/** Writes bytes, ends this side of the connection, and returns everything received until it is closed. */
export function speakAndEnd(port: number, ...bytes: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const received = speakOn(socket, bytes)
  socket.once('connect', () => socket.end())
  return received
}

function speakOn(socket: Socket, bytes: readonly (string | Buffer)[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let received = ''
  socket.once('connect', () => {
    for (const part of bytes) socket.write(part)
  })
  socket.setEncoding('latin1')
  socket.on('data', (part) => {
    received += part
  })
  socket.on('error', () => {})
  socket.on('close', () => resolve(received))
  return promise
}
