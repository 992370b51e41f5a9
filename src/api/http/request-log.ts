// One line of the log for each request that has ended: failures as warnings, administration as information, all others only at the level
// `debug`, because at a high rate they would be most of the work.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../../telemetry/logger.ts'
import { traceFields } from '../../telemetry/trace-context.ts'
import { receivedBytesOf } from './body-chunks.ts'

/** Not being ready is a state, not a failure of the request. */
const readinessRoutes = new Set(['/readyz', '/healthz'])

export function logRequest(request: FastifyRequest, reply: FastifyReply, logger: Logger): void {
  const failure = readinessRoutes.has(request.routeOptions.url ?? '') ? null : reply.failure
  if (failure !== null) {
    const fields = { ...fieldsOf(request, reply), ...failure.logFields, code: failure.code, reason: failure.message }
    if (failure.isOwnFailure) logger.error({ ...fields, error: failure.cause }, 'request failed')
    else logger.warn(fields, 'request failed')
    return
  }
  const { need } = request.routeOptions.config
  const level = request.method !== 'GET' && (need === 'operate' || need === 'admin') ? 'info' : 'debug'
  if (logger.isLevelEnabled?.(level) !== false) logger[level](fieldsOf(request, reply), 'request done')
}

function fieldsOf(request: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  const { raw, headers, routeOptions } = request
  const sent = Number(reply.getHeader('content-length'))
  const ids = {
    request: reply.getHeader('millrace-request-id'),
    location: reply.getHeader('location'),
    ...(request.params as object | undefined),
  }
  return {
    request_id: request.id,
    ...traceFields(headers.traceparent?.toString()),
    method: request.method,
    route: routeOptions.url ?? 'unknown',
    ids,
    status: reply.statusCode,
    duration_ms: Math.round(reply.elapsedTime),
    received_bytes: receivedBytesOf(raw),
    // Unknown for what is sent in pieces.
    ...(Number.isNaN(sent) ? {} : { sent_bytes: sent }),
    peer: `${raw.socket.remoteAddress}:${raw.socket.remotePort}`,
  }
}
