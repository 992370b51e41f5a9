// A body that is a small JSON object of known members.

import type { FastifyRequest } from 'fastify'
import * as v from 'valibot'
import { MillraceError } from '../../errors.ts'
import { readBody } from './body-chunks.ts'
import { refuseOtherThanJson } from './dead-letter-routes.ts'
import type { HttpTimes } from './http-times.ts'
import { readQuery } from './query.ts'

/** More than the longest reason of a pause has in JSON, or 64 patterns of a key. */
const maxBodyBytes = 64 * 1024

/** Reads a body that may be left out. Throws `invalid_event`, with the bad member as its field. */
export async function readSmallJson<Output>(
  request: FastifyRequest,
  schema: v.GenericSchema<unknown, Output>,
  { maxBodyMs }: HttpTimes,
): Promise<Output> {
  readQuery(request.query, [])
  const body = await readBody(request.raw, maxBodyBytes, maxBodyMs)
  if (body.length > 0) refuseOtherThanJson(request.headers['content-type'])
  const parsed = v.safeParse(schema, body.length === 0 ? {} : membersOf(body), { abortEarly: true })
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const field = (v.getDotPath(issue) ?? 'body').slice(0, 80)
  throw new MillraceError('invalid_event', `${field} ${issue.message}`, { field })
}

function membersOf(body: Buffer): object {
  try {
    const value: unknown = JSON.parse(body.toString())
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // The same problem as that of another value.
  }
  throw new MillraceError('invalid_event', 'the body must be a JSON object, or be left out', { field: 'body' })
}
