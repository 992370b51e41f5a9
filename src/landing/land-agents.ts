// The group that keeps the table of agents: of the heartbeats of a turn it stores the newest of each agent.
//
// A heartbeat that names no agent, or has other data than a JSON object, becomes a dead letter, for the topic takes any
// event; so does one that the database refuses. Events of other types are none of its business: they land, and that is all.

import { isJsonContentType } from '../event/event.ts'
import { heartbeatFault, heartbeatType, noMetadata } from '../event/heartbeat.ts'
import { EventReader, textOf } from '../event/record-batch.ts'
import type { Delivery } from '../event-log/event-log.ts'
import type { EventStore, StoredAgent } from '../store/event-store.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { GivenUp } from '../workers/dead-letter-event.ts'
import type { DeadLetters } from '../workers/dead-letters.ts'
import type { Handler } from '../workers/handler.ts'
import { damagedBatches, outcomes } from './landing.ts'

/** The group of the topic of heartbeats that keeps the table of agents. */
export const agentsGroup = 'agents'

export interface AgentLandingOptions {
  readonly store: Pick<EventStore, 'upsertAgents'>
  readonly deadLetters: Pick<DeadLetters, 'append'>
  readonly metrics: Metrics
}

/** A heartbeat, and where it is. */
interface Found extends StoredAgent {
  readonly delivery: Delivery
  readonly index: number
}

const namesInEvent = { agentId: 'subject', metadata: 'data' }
const notJson = { message: 'data_content_type must be that of JSON' }

/** Creates the handler of the group. It throws when the database is unreachable; then nothing was dead-lettered. */
export function createAgentLanding({ store, deadLetters, metrics }: AgentLandingOptions): Handler {
  const reader = new EventReader()
  return async (deliveries, { topic, group }) => {
    const givenUp = damagedBatches(deliveries)
    const newest = new Map<string, Found>()
    for (const delivery of deliveries) {
      if (delivery.batch.damaged !== true) readHeartbeats(reader, delivery, newest, givenUp)
    }
    const found = [...newest.values()]
    const refused = await store.upsertAgents(
      found.map(({ agentId, lastSeenMicros, metadata }) => ({ agentId, lastSeenMicros, metadata })),
    )
    for (const { index: at, databaseCode, message } of refused) {
      const { delivery, index } = found[at]!
      givenUp.push({ delivery, index, code: 'refused_by_store', message: `${databaseCode}: ${message}` })
    }
    if (givenUp.length > 0) {
      await deadLetters.append(topic, group, givenUp)
      for (const { code } of givenUp) metrics.deadLetters.add(1, { topic, group, code })
    }
    return outcomes(deliveries, givenUp)
  }
}

/** Adds the heartbeats of a delivery to the newest ones, or to those that are given up. */
function readHeartbeats(reader: EventReader, delivery: Delivery, newest: Map<string, Found>, givenUp: GivenUp[]): void {
  const { bytes, receivedAtMicros: lastSeenMicros } = delivery.batch
  reader.reset(bytes)
  for (let index = 0; reader.next(); index++) {
    const { fields } = reader
    if (textOf(bytes, fields.typeStart, fields.typeEnd) !== heartbeatType) continue
    const agentId = textOf(bytes, fields.subjectStart, fields.subjectEnd)
    const json = bytes.subarray(fields.dataStart, fields.dataEnd)
    const isJson = isJsonContentType(textOf(bytes, fields.contentTypeStart, fields.contentTypeEnd))
    const fault = isJson ? heartbeatFault(agentId, json, namesInEvent) : notJson
    if (fault !== null) {
      givenUp.push({ delivery, index, code: 'invalid_event', message: fault.message })
      continue
    }
    const known = newest.get(agentId)
    if (known !== undefined && known.lastSeenMicros > lastSeenMicros) continue
    const metadata = textOf(json, 0, json.length) || noMetadata
    newest.set(agentId, { delivery, index, agentId, lastSeenMicros, metadata })
  }
}
