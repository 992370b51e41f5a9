// The routes for operators: health, metrics, version, and the console.

import type { FastifyInstance, FastifyReply } from 'fastify'
import { MillraceError } from '../../errors.ts'
import type { Grant } from '../../pipeline/keys.ts'
import type { Health } from '../../telemetry/health.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { addConsoleRoutes } from './console-route.ts'
import { problemOf, sendProblem } from './problem.ts'
import { readQuery } from './query.ts'

export interface OperationsParts {
  readonly health: Health
  readonly metrics: Metrics
  readonly version: string
  readonly needsKeys: boolean
  /** The URL of the bound address, for example `http://127.0.0.1:8080`; known once the server listens. */
  readonly url: () => string
}

export function addOperationsRoutes(app: FastifyInstance, parts: OperationsParts): void {
  const { health, metrics, version, needsKeys, url } = parts
  // Checks no other part: a broken store must not make an orchestrator restart the process.
  app.get('/livez', async () => ({ live: true }))
  for (const path of ['/readyz', '/healthz']) {
    app.get(path, async (request, reply) => {
      const { verbose } = readQuery(request.query, ['verbose'])
      return answerReadiness(reply, health, verbose !== undefined)
    })
  }
  app.get('/metrics', { config: { answersFirst: true } }, async (request, reply) => {
    refuseNarrowKey(request.caller.grant)
    const { contentType, body } = await metrics.render(request.headers.accept)
    return reply.header('content-type', contentType).send(body)
  })
  app.get('/version', { config: { answersFirst: true } }, async () => ({
    ...{ version, commit: null, node: process.version },
  }))
  addConsoleRoutes(app, { substitute: () => welcome(url(), version, needsKeys) })
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

/** The metrics are those of all topics together. */
function refuseNarrowKey({ topics, types }: Grant): void {
  if (topics === null && types === null) return
  throw new MillraceError(
    'permission_denied',
    'the key is for some topics or types only, and metrics are of all of them',
  )
}

function welcome(url: string, version: string, needsKeys: boolean): string {
  const key = needsKeys ? ' -H "authorization: Bearer $MILLRACE_KEY"' : ''
  return `<!doctype html>
<html lang="en">
<title>Millrace ${version}</title>
<pre>
Millrace ${version} accepts events and lands each of them in a database exactly once.

Publish an event:
  curl -i ${url}/v1/events${key} -H 'content-type: application/json' -d '{"type":"hello","data":{"n":1}}'

List landed events:
  curl ${url}/v1/events${key}

State of the server: /v1/status  /readyz  /metrics  /version

The console would be here, and has not been built: run npm run console in the project, then load this page again.
</pre>
</html>
`
}
