// Agents: publishes their heartbeats, and lists who has sent them.
//
// Not its job: the table of agents (landing/land-agents.ts).

import { MillraceError, toMillraceError } from '../errors.ts'
import { EventIdGenerator } from '../event/event.ts'
import {
  agentLogFields,
  heartbeatFault,
  heartbeatSource,
  heartbeatTopic,
  heartbeatType,
  noMetadata,
} from '../event/heartbeat.ts'
import { BatchBuilder } from '../event/record-batch.ts'
import type { Slots } from '../lib/slots.ts'
import type { Agent, AgentPage, Agents, Heartbeat } from '../pipeline/agents.ts'
import type { Pipeline, Rejection } from '../pipeline/pipeline.ts'
import type { EventStore, StoredAgent } from '../store/event-store.ts'
import { checkLimit } from '../store/page-cursor.ts'
import type { Logger } from '../telemetry/logger.ts'
import { traceFields } from '../telemetry/trace-context.ts'

export interface AgentRegistryOptions {
  readonly publish: Pipeline['publish']
  readonly store: Pick<EventStore, 'listAgents'>
  /** Bounds the pages that are read at once. */
  readonly reads: Slots
  readonly offlineMs: number
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

const names = { agentId: 'agent_id', metadata: 'metadata' }

export class AgentRegistry implements Agents {
  readonly #options: AgentRegistryOptions
  readonly #ids: EventIdGenerator
  readonly #builder = new BatchBuilder()

  constructor(options: AgentRegistryOptions) {
    this.#options = options
    this.#ids = new EventIdGenerator(options.now)
  }

  async heartbeat(heartbeat: Heartbeat): Promise<void> {
    const { publish, logger } = this.#options
    const logFields = agentLogFields(heartbeat.agentId)
    const trace = traceFields(heartbeat.traceparent)
    try {
      const message = this.#encode(heartbeat, 'trace_id' in trace)
      const { rejections } = await publish({ topic: heartbeatTopic, overflow: 'reject', message })
      const [rejection] = rejections
      if (rejection === undefined) logger.debug({ ...logFields, ...trace }, 'heartbeat accepted')
      else throw refusalOf(rejection)
    } catch (thrown) {
      throw toMillraceError(thrown).withLogFields(logFields)
    }
  }

  #encode({ agentId, timeMicros, metadata, traceparent }: Heartbeat, isTraced: boolean): Uint8Array {
    const data = Buffer.from(metadata || noMetadata)
    const fault = heartbeatFault(agentId, data, names)
    if (fault !== null) throw new MillraceError('invalid_event', fault.message, { field: fault.field })
    this.#builder.add({
      ...{ id: this.#ids.next(), source: heartbeatSource, type: heartbeatType, subject: agentId, key: agentId },
      ...{ timeMicros, data },
      ...(isTraced ? { attributes: [['traceparent', traceparent!]] } : {}),
    })
    return this.#builder.take()
  }

  async listAgents({ limit, cursor }: Parameters<Agents['listAgents']>[0]): Promise<AgentPage> {
    const { store, reads } = this.#options
    checkLimit(limit)
    const from = cursor === null ? '' : behind(idOfCursor(cursor))
    const { agents, hasMore } = await reads.run(() => store.listAgents({ from, limit }))
    return {
      agents: agents.map((agent) => this.#withOnline(agent)),
      nextCursor: hasMore ? cursorOfId(agents.at(-1)!.agentId) : null,
    }
  }

  async agent(agentId: string): Promise<Agent> {
    const { store, reads } = this.#options
    const fault = heartbeatFault(agentId, Buffer.from(noMetadata), names)
    if (fault !== null) throw new MillraceError('invalid_event', fault.message, { field: fault.field })
    const { agents } = await reads.run(() => store.listAgents({ from: agentId, limit: 1 }))
    if (agents[0]?.agentId === agentId) return this.#withOnline(agents[0])
    throw new MillraceError('not_found', `there is no agent ${JSON.stringify(agentId.slice(0, 80))}`)
  }

  #withOnline(agent: StoredAgent): Agent {
    const { offlineMs, now } = this.#options
    return { ...agent, online: agent.lastSeenMicros >= (now() - offlineMs) * 1000 }
  }
}

/** The checks of an event call the metadata its data. */
function refusalOf({ code, message, retryAfterMs }: Rejection): MillraceError {
  const isAboutMetadata = message.startsWith('data ')
  return new MillraceError(code, isAboutMetadata ? `metadata${message.slice('data'.length)}` : message, {
    ...(isAboutMetadata ? { field: names.metadata } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** Between an id and every other one behind it: ids have no control characters. */
function behind(agentId: string): string {
  return `${agentId}\u0001`
}

/** The first byte of a cursor. */
const cursorVersion = '\u0001'

function cursorOfId(agentId: string): string {
  return Buffer.from(cursorVersion + agentId).toString('base64url')
}

/** Throws `invalid_event` for any text that `cursorOfId` did not write. */
function idOfCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString()
  const agentId = text.slice(cursorVersion.length)
  if (agentId !== '' && cursorOfId(agentId) === cursor) return agentId
  const shown = cursor.length > 40 ? `${cursor.slice(0, 40)}…` : cursor
  const problem = `cursor is not valid: "${shown}"; pass next_cursor of an earlier page unchanged, or leave it out`
  throw new MillraceError('invalid_event', problem, { field: 'cursor' })
}
