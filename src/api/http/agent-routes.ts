// The routes of agents: take a heartbeat, and list the agents. Their metadata stays text, so that no digit is lost.

import type { FastifyInstance } from 'fastify'
import { toMillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import { agentLogFields } from '../../event/heartbeat.ts'
import { JsonText } from '../../lib/json/json-text.ts'
import { formatRfc3339, parseRfc3339 } from '../../lib/rfc3339.ts'
import type { Agent, Heartbeat } from '../../pipeline/agents.ts'
import { answerInTime } from './answer-in-time.ts'
import { readBody } from './body-chunks.ts'
import type { HttpTimes } from './http-times.ts'
import { jsonContentType } from './json-content-type.ts'
import type { JsonMembers } from './json-members.ts'
import { isJsonString, jsonText } from './json-members.ts'
import { readJsonObject, wrongMember } from './json-object.ts'
import type { PageSender } from './page-sender.ts'
import { limitParameter, readQuery } from './query.ts'

const form = {
  names: ['agent_id', 'time', 'metadata'],
  subject: 'a heartbeat has',
  advice: 'for example {"agent_id":"edge-7"}',
}

export function addAgentRoutes(app: FastifyInstance, pages: PageSender, times: HttpTimes): void {
  const { maxAnswerMs, maxBodyMs } = times
  const text = new JsonText()
  app.post('/v1/heartbeats', async (request, reply) => {
    readQuery(request.query, [])
    const heartbeat = readHeartbeat(text, await readBody(request.raw, limits.maxMessageBytes, maxBodyMs))
    const traceparent = request.headers.traceparent?.toString()
    await answerInTime(request.caller.pipeline.agents.heartbeat({ ...heartbeat, traceparent }), maxAnswerMs)
    return reply.code(202).send({})
  })

  app.get('/v1/agents', async (request, reply) => {
    const { limit, cursor } = readQuery(request.query, ['limit', 'cursor'])
    const read = async (stepLimit: number, from: string | undefined) => {
      const page = await request.caller.pipeline.agents.listAgents({ limit: stepLimit, cursor: from ?? null })
      return { elements: page.agents.map((agent) => [agentJson(agent)]), nextCursor: page.nextCursor }
    }
    return await pages.send(reply, { name: 'agents', limit: limitParameter(limit), cursor, read })
  })

  app.get<{ Params: { id: string } }>('/v1/agents/:id', async (request, reply) => {
    readQuery(request.query, [])
    const agent = await answerInTime(request.caller.pipeline.agents.agent(request.params.id), maxAnswerMs)
    return reply.header('content-type', jsonContentType).send(agentJson(agent))
  })
}

/** Throws `invalid_event`, with the bad member as its field; the log gets the id, if it was read. */
function readHeartbeat(text: JsonText, body: Uint8Array): Heartbeat {
  const read: Record<string, string> = {}
  try {
    readJsonObject(text, body, form, (members) => {
      read[members.name] = readValue(members)
    })
    const { agent_id: agentId, time, metadata = '' } = read
    if (agentId === undefined) throw wrongMember('agent_id', 'is missing')
    const timeMicros = time === undefined ? null : parseRfc3339(time)
    if (typeof timeMicros === 'string') throw wrongMember('time', timeMicros)
    return { agentId, timeMicros, metadata }
  } catch (thrown) {
    if (read.agent_id === undefined) throw thrown
    throw toMillraceError(thrown).withLogFields(agentLogFields(read.agent_id))
  }
}

function readValue({ name, bytes, valueStart, valueEnd }: JsonMembers): string {
  if (name === 'metadata') return Buffer.from(bytes.subarray(valueStart, valueEnd)).toString()
  if (!isJsonString(bytes, valueStart)) throw wrongMember(name, 'must be a string')
  return jsonText(bytes, valueStart, valueEnd)
}

/** An agent as JSON text. */
export function agentJson({ agentId, lastSeenMicros, online, metadata }: Agent): string {
  const fields = JSON.stringify({ agent_id: agentId, last_seen: formatRfc3339(lastSeenMicros), online })
  return `${fields.slice(0, -1)},"metadata":${metadata}}`
}
