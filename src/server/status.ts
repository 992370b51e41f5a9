// Builds the status from the log, the database and the worker pools, and shares it among callers.

import { requestTypeOf } from '../event/request.ts'
import { type EventLog, type GroupDescription, type LogDescription, maxHeldEvents } from '../event-log/event-log.ts'
import type { GroupName } from '../pipeline/administration.ts'
import { type GroupState, limitedByPerson, noWorker, pausedByPerson, runningState } from '../pipeline/group-state.ts'
import type { LogObservation } from '../pipeline/observations.ts'
import type { GroupStatus, LedgerRow, ListedGroup, Status, TopicStatus } from '../pipeline/pipeline.ts'
import type { ProcessStatus } from '../pipeline/process-status.ts'
import type { Health } from '../telemetry/health.ts'
import type { Pool } from '../workers/pool.ts'
import { isLandingGroup } from './assemble-landing.ts'

/** How long a status is reused after it was read: its audit walks everything that waits. */
const statusMaxAgeMs = 500

export interface StatusParts {
  readonly version: string
  readonly eventLog: EventLog
  readonly storeDriver: string
  readonly isStoreUp: () => boolean
  readonly pools: readonly Pool[]
  /** How many subscribers the process has. */
  readonly subscribers: () => Promise<number>
  /** Those that use the log. */
  readonly processes: () => readonly ProcessStatus[]
  readonly health: Health
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

export interface Described {
  readonly status: Status
  readonly groups: readonly ListedGroup[]
  readonly logSize: Pick<LogObservation, 'usedBytes' | 'limitBytes'>
}

interface Reading {
  readonly described: Promise<Described>
  /** Null while it is being read, and when that failed. */
  status: Status | null
  /** Null while it is being read. */
  endedAtMs: number | null
}

export class StatusReader {
  readonly #parts: StatusParts
  readonly #startedAtMs: number
  #latest: Reading | null = null

  constructor(parts: StatusParts) {
    this.#parts = parts
    this.#startedAtMs = parts.monotonicNow()
  }

  /** Seconds since the server started, to the millisecond. */
  uptimeSeconds(): number {
    return Math.round(this.#parts.monotonicNow() - this.#startedAtMs) / 1000
  }

  /**
   * Returns the latest reading or starts a new one. Only one runs at a time: more would slow down a slow log or
   * database.
   */
  read(): Promise<Described> {
    const { monotonicNow } = this.#parts
    const endedAtMs = this.#latest?.endedAtMs ?? null
    if (this.#latest === null || (endedAtMs !== null && monotonicNow() - endedAtMs > statusMaxAgeMs)) {
      const reading: Reading = { described: this.#describe(), status: null, endedAtMs: null }
      const end = () => {
        reading.endedAtMs = monotonicNow()
      }
      reading.described.then(({ status }) => {
        end()
        reading.status = status
      }, end)
      this.#latest = reading
    }
    return this.#latest.described
  }

  /** The status as it was last read, and when, by the monotonic clock; null when that failed or has not ended. */
  latest(): { readonly status: Status; readonly endedAtMs: number } | null {
    const { status = null, endedAtMs = null } = this.#latest ?? {}
    return status === null || endedAtMs === null ? null : { status, endedAtMs }
  }

  async #describe(): Promise<Described> {
    const { version, eventLog, storeDriver, isStoreUp, pools, subscribers, processes, health, now } = this.#parts
    const log = await eventLog.describe()
    const { state, causes } = health.readiness()
    const status: Status = {
      version,
      uptimeSeconds: this.uptimeSeconds(),
      durability: log.durability,
      log: { driver: log.driver, epoch: log.epoch },
      store: { driver: storeDriver, up: isStoreUp() },
      state,
      causes,
      topics: topicStatuses(log, pools, now()),
      ledger: ledgerRows(log),
      processes: processes(),
      subscribers: await subscribers(),
      workers: pools.length,
    }
    return {
      status,
      groups: listedGroups(log, status, pools),
      logSize: { usedBytes: log.usedBytes, limitBytes: log.limitBytes },
    }
  }
}

function listedGroups(log: LogDescription, { topics }: Status, pools: readonly Pool[]): ListedGroup[] {
  return topics.flatMap(({ name: topic, groups }, topicIndex) =>
    groups.map((group, index) => {
      const { flow } = log.topics[topicIndex]!.groups[index]!
      const ratePerSecond = flow !== null && 'ratePerSecond' in flow ? flow.ratePerSecond : null
      return { topic, ...group, ratePerSecond, options: poolOf(pools, topic, group.name)?.options ?? null }
    }),
  )
}

function poolOf(pools: readonly Pool[], topic: string, group: string): Pool | undefined {
  return pools.find((pool) => pool.topic === topic && pool.group === group)
}

function topicStatuses(log: LogDescription, pools: readonly Pool[], nowMs: number): TopicStatus[] {
  return log.topics.map(({ name: topic, partitions, groups }) => ({
    name: topic,
    partitions,
    groups: groups.map((group) => groupStatus(topic, group, poolOf(pools, topic, group.name), nowMs)),
  }))
}

function groupStatus(topic: string, group: GroupDescription, pool: Pool | undefined, nowMs: number): GroupStatus {
  const { name, waiting, scheduled, held, inFlight, skipped, oldestWaitingMicros } = group
  // Its parts are not read at the same time.
  const ready = scheduled === null ? null : Math.max(0, waiting - scheduled - held - inFlight)
  const oldestSeconds = oldestWaitingMicros === null ? null : nowMs / 1000 - oldestWaitingMicros / 1e6
  return {
    ...{ name, waiting, ready, scheduled, held, inFlight, skipped },
    types: pool?.types ?? [],
    oldestWaitingSeconds: oldestSeconds === null ? null : Math.max(0, oldestSeconds),
    state: groupState({ topic, group: name }, group, ready, pool),
  }
}

/** A pool knows its own state only: what another process's pool meets is in the status of that process. */
function groupState(
  name: GroupName,
  { flow, ordered, scheduled, held, inFlight, hasConsumers }: GroupDescription,
  ready: number | null,
  pool: Pool | undefined,
): GroupState {
  if (flow !== null && 'paused' in flow) return pausedByPerson(flow.paused)
  // The first event of each key is not held: it is scheduled, or a consumer has it.
  const redeliveries = held + (scheduled ?? 0) + inFlight
  if (ordered && redeliveries >= maxHeldEvents && (pool?.state.reason ?? null) === null) {
    const reason = `${held} events are held: about ${maxHeldEvents} in a partition keep new ones from being read`
    return { is: 'running', by: null, reason, sinceMs: null }
  }
  const hasWorker = pool !== undefined || inFlight > 0 || hasConsumers
  if (flow !== null && hasWorker && pool?.state.is !== 'outage')
    return limitedByPerson(name.topic, name.group, flow.ratePerSecond)
  if (pool !== undefined) return pool.state
  const isOfRequests = requestTypeOf(name.topic) !== null
  if (hasWorker || (ready === 0 && !isOfRequests)) return runningState
  if (isOfRequests) return noWorker('nobody serves these requests, so they are refused')
  return noWorker(
    isLandingGroup(name) ? 'no process with the role worker is running' : 'no process that runs has its handler',
  )
}

function ledgerRows(log: LogDescription): LedgerRow[] {
  return log.topics.flatMap(({ name: topic, groups }) =>
    groups.map(({ name, accepted, reopened, waiting, landed, dead, lost, auditedWaiting }) => ({
      topic,
      group: name,
      accepted,
      reopened,
      waiting,
      landed,
      dead,
      lost,
      balanced:
        auditedWaiting === null || lost === null
          ? null
          : waiting === auditedWaiting && accepted + reopened === waiting + landed + dead + lost,
    })),
  )
}
