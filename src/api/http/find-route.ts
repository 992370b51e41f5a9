// GET /v1/find/{id}: what has an id, for a search box that does not know what it is given.
//
// It asks the parts of the pipeline that the caller may read, as the routes do to which its answers lead.

import type { FastifyInstance } from 'fastify'
import { type ErrorCode, toMillraceError } from '../../errors.ts'
import type { KeyPage } from '../../pipeline/keys.ts'
import type { Caller } from '../access.ts'
import { answerInTime } from './answer-in-time.ts'
import { readQuery } from './query.ts'

interface Found {
  readonly kind: 'event' | 'dead_letter' | 'file' | 'request' | 'agent' | 'group' | 'subscriber' | 'key'
  readonly href: string
}

export function addFindRoute(app: FastifyInstance, maxAnswerMs: number): void {
  app.get<{ Params: { id: string } }>('/v1/find/:id', async (request) => {
    readQuery(request.query, [])
    return await answerInTime(find(request.params.id, request.caller), maxAnswerMs)
  })
}

async function find(id: string, caller: Caller): Promise<Found[]> {
  const { pipeline, grant } = caller
  const { administration, files, requests, agents, live } = pipeline
  const name = encodeURIComponent(id)
  const one = (kind: Found['kind'], path: string) => [{ kind, href: `/v1/${path}` }]
  // None is awaited before all are: one that fails meanwhile would end the process.
  const found = await Promise.all([
    unlessMissing(administration.journey({ id })).then((is) => (is ? one('event', `events/${name}`) : [])),
    unlessMissing(administration.getDeadLetter(id)).then((is) =>
      is ? one('dead_letter', `dead-letters/${name}`) : [],
    ),
    unlessMissing(files.file(id)).then((is) => (is ? one('file', `files/${name}`) : [])),
    // What is read with another scope than this route.
    grant.allows('publish')
      ? unlessMissing(requests.getReply({ requestId: id, type: '', waitMs: 0 }), endsOfRequests).then((is) =>
          is ? one('request', `requests/${name}`) : [],
        )
      : [],
    unlessMissing(agents.agent(id)).then((is) => (is ? one('agent', `agents/${name}`) : [])),
    pipeline.groups().then((groups) => {
      const named = groups.filter((group) => group.name === id)
      return named.flatMap(({ topic }) => one('group', `groups?topic=${encodeURIComponent(topic)}`))
    }),
    live
      .subscribers()
      .then((all) => (all.some((is) => is.subscriberId === id) ? one('subscriber', 'subscribers') : [])),
    hasKey(id, caller).then((is) => (is ? one('key', 'keys') : [])),
  ])
  return found.flat()
}

/** How the route of a request ends that is there, and has no reply. */
const endsOfRequests: readonly ErrorCode[] = ['deadline_exceeded', 'failed_precondition', 'internal']

/** Whether there is one. An id that no such object can have is missing too; what cannot be asked now is an error. */
async function unlessMissing(work: Promise<unknown>, otherEnds: readonly ErrorCode[] = []): Promise<boolean> {
  try {
    await work
    return true
  } catch (thrown) {
    const { code } = toMillraceError(thrown)
    if (otherEnds.includes(code)) return true
    // Behind a gateway the server says what the caller may not read.
    if (code === 'not_found' || code === 'invalid_event' || code === 'permission_denied') return false
    throw thrown
  }
}

/** Keys are few, at most 10,000; they are listed only for what looks like the id of one. */
async function hasKey(id: string, { pipeline, grant }: Caller): Promise<boolean> {
  if (!/^[0-9A-Za-z]{12}$/.test(id)) return false
  if (!grant.allows('admin') || grant.topics !== null || grant.types !== null) return false
  for (let cursor: string | null = null; ; ) {
    const page: KeyPage = await pipeline.keys.list({ limit: 1000, cursor }).catch(noKeys)
    if (page.keys.some(({ keyId }) => keyId === id)) return true
    if (page.nextCursor === null) return false
    cursor = page.nextCursor
  }
}

/** Behind a gateway the server says who may not list them. */
function noKeys(thrown: unknown): KeyPage {
  if (toMillraceError(thrown).code !== 'permission_denied') throw thrown
  return { keys: [], nextCursor: null }
}
