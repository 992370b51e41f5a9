// GET /v1/workers: the workers of other processes that are connected to this one.

import type { FastifyInstance } from 'fastify'
import { formatRfc3339 } from '../../lib/rfc3339.ts'
import type { WorkerStatus } from '../../pipeline/work.ts'
import { answerInTime } from './answer-in-time.ts'
import { readQuery } from './query.ts'

export function addWorkerRoute(app: FastifyInstance, maxAnswerMs: number): void {
  app.get('/v1/workers', async (request) => {
    readQuery(request.query, [])
    return { workers: (await answerInTime(request.caller.pipeline.workers(), maxAnswerMs)).map(workerJson) }
  })
}

function workerJson({ topic, group, peer, sinceMs, inFlight, maxInFlight }: WorkerStatus): object {
  const since = formatRfc3339(sinceMs * 1000)
  return { topic, group, peer, since, in_flight: inFlight, max_in_flight: maxInFlight }
}
