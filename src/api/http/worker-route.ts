// GET /v1/workers: the workers of other processes that are connected to this one.

import type { FastifyInstance } from 'fastify'
import { workerStatus } from '../../wire/status.ts'
import { answerInTime } from './answer-in-time.ts'
import { readQuery } from './query.ts'

export function addWorkerRoute(app: FastifyInstance, maxAnswerMs: number): void {
  app.get('/v1/workers', async (request) => {
    readQuery(request.query, [])
    return { workers: (await answerInTime(request.caller.pipeline.workers(), maxAnswerMs)).map(workerStatus.toJson) }
  })
}
