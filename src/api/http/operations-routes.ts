// The routes for operators: status, health, metrics, version, and a welcome page.

import type { FastifyInstance, FastifyReply } from 'fastify'
import { MillraceError } from '../../errors.ts'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import type { Health } from '../../telemetry/health.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { answerInTime } from './answer-in-time.ts'
import { problemOf, sendProblem } from './problem.ts'
import { readQuery } from './query.ts'
import { statusJson } from './status-json.ts'

export interface OperationsParts {
  readonly pipeline: Pipeline
  readonly health: Health
  readonly metrics: Metrics
  readonly version: string
  readonly maxAnswerMs: number
  /** The URL of the bound address, for example `http://127.0.0.1:8080`; known once the server listens. */
  readonly url: () => string
}

export function addOperationsRoutes(app: FastifyInstance, parts: OperationsParts): void {
  const { pipeline, health, metrics, version, maxAnswerMs, url } = parts
  app.get('/v1/status', async () => statusJson(await answerInTime(pipeline.status(), maxAnswerMs)))
  // Checks no other part: a broken store must not make an orchestrator restart the process.
  app.get('/livez', async () => ({ live: true }))
  for (const path of ['/readyz', '/healthz']) {
    app.get(path, async (request, reply) => {
      const { verbose } = readQuery(request.query, ['verbose'])
      return answerReadiness(reply, health, verbose !== undefined)
    })
  }
  app.get('/metrics', async (request, reply) => {
    const { contentType, body } = await metrics.render(request.headers.accept)
    return reply.header('content-type', contentType).send(body)
  })
  app.get('/version', async () => ({ version, commit: null, node: process.version }))
  app.get('/', async (_request, reply) => reply.type('text/plain; charset=utf-8').send(welcome(url(), version)))
}

function answerReadiness(reply: FastifyReply, health: Health, verbose: boolean): object {
  const { state, draining, components, causes } = health.readiness()
  const ready = state !== 'unready'
  const parts = components.map(({ name, state: of }) => ({ name, state: of }))
  const members = { ready, state, causes, ...(verbose ? { components: parts } : {}) }
  if (ready) return members
  const down = components.filter((component) => component.state === 'down').map(({ name }) => name)
  const error = draining
    ? new MillraceError('draining', 'the server is stopping')
    : new MillraceError('unavailable', `not ready: ${down.join(', ')}`)
  return sendProblem(reply, { ...problemOf(error), members })
}

function welcome(url: string, version: string): string {
  return `Millrace ${version} accepts events and lands each of them in a database exactly once.

Publish an event:
  curl -i ${url}/v1/events -H 'content-type: application/json' -d '{"type":"hello","data":{"n":1}}'

List landed events:
  curl ${url}/v1/events

State of the server: /v1/status  /readyz  /metrics  /version
`
}
