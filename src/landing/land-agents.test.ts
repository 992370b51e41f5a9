import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { cleanup } from '../../test/support/cleanup.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { heartbeatTopic, heartbeatType } from '../event/heartbeat.ts'
import { encodeBatch } from '../event/record-batch.ts'
import type { Delivery } from '../event-log/event-log.ts'
import { openStore } from '../store/open-store.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { GivenUp } from '../workers/dead-letter-event.ts'
import { agentsGroup, createAgentLanding } from './land-agents.ts'

/** A delivery with a heartbeat of each agent: its id and the load that it states. */
function delivery(receivedAtMicros: number, beats: readonly (readonly [string, number])[], damaged = false): Delivery {
  const events = beats.map(([subject, load]) => ({
    ...{ id: randomUUID(), type: heartbeatType, subject, data: Buffer.from(JSON.stringify({ load })) },
  }))
  return {
    id: randomUUID(),
    position: { stream: { topic: heartbeatTopic, partition: 0, lane: 'normal' }, epoch: 1, offset: 0 },
    batch: { bytes: encodeBatch(events), count: events.length, receivedAtMicros, damaged },
    attempt: 1,
    isSuspect: false,
    isKeyed: false,
    isFirstLease: false,
  }
}

test('of a turn each agent keeps its newest heartbeat; what is damaged or refused becomes a dead letter', async (t) => {
  const dataDir = tempDirectory(t)
  const store = await openStore({ dataDir, diskReserveBytes: 0 })
  cleanup(t, () => store.close())
  const database = new DatabaseSync(join(dataDir, 'store.db'))
  database.exec(`CREATE TRIGGER refuse BEFORE INSERT ON agents WHEN new.agent_id = 'refused'
    BEGIN SELECT RAISE(ABORT, 'not this one'); END`)
  database.close()
  const metrics = createMetrics()
  cleanup(t, async () => metrics.close())
  const dead: GivenUp[] = []
  const append = async (_topic: string, _group: string, givenUp: readonly GivenUp[]) => void dead.push(...givenUp)
  const handler = createAgentLanding({ store, deadLetters: { append }, metrics })

  const deliveries = [
    delivery(2000, [
      ['a', 1],
      ['refused', 2],
      ['a', 3],
    ]),
    delivery(1000, [['a', 4]]),
    delivery(3000, [['a', 5]], true),
    delivery(2500, [['b', 6]]),
  ]
  const signal = new AbortController().signal
  const context = { topic: heartbeatTopic, group: agentsGroup, signal, reportRetry: () => assert.fail('no retry') }
  const outcomes = await handler(deliveries, context)

  assert.deepEqual(
    outcomes.map(({ landed, dead }) => [landed, dead]),
    [
      [2, 1],
      [1, 0],
      [0, 1],
      [1, 0],
    ],
  )
  assert.deepEqual(
    dead.map(({ delivery, index, code }) => [deliveries.indexOf(delivery), index, code]),
    [
      [2, null, 'corrupt'],
      [0, 1, 'refused_by_store'],
    ],
  )
  assert.match(dead[1]!.message, /^1811: not this one$/)
  const { agents } = await store.listAgents({ from: '', limit: 10 })
  assert.deepEqual(
    agents.map((agent) => [agent.agentId, agent.lastSeenMicros, agent.metadata]),
    [
      ['a', 2000, '{"load":3}'],
      ['b', 2500, '{"load":6}'],
    ],
  )
})
