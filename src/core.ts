// The core: what Millrace can do (pipeline.ts), made of its parts.

import { Administrator } from './admin/administrator.ts'
import { checkText } from './admin/filter.ts'
import { Observer } from './admin/observer.ts'
import type { Administration, GroupName } from './administration.ts'
import { MillraceError } from './errors.ts'
import type { EventLog, LogDescription, LogHealth } from './event-log/event-log.ts'
import type { Ingest } from './ingest/ingest.ts'
import { withinMs } from './lib/abort.ts'
import type { LogObservation } from './observations.ts'
import { pausedText } from './paused-text.ts'
import type {
  LedgerRow,
  Observed,
  Pipeline,
  PublishMessage,
  PublishOptions,
  PublishVerdict,
  Status,
  TopicStatus,
} from './pipeline.ts'
import type { EventPage, EventQuery, EventStore } from './store/event-store.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { WorkerPool } from './workers/worker-pool.ts'

/** A status is shown for so long after it was told: many may ask, and the audit walks what waits. */
const statusMaxAgeMs = 500

/** How long a status waits for the database to answer. */
const storeAnswerMs = 2000

export interface CoreOptions {
  readonly version: string
  readonly eventLog: EventLog
  readonly store: EventStore
  readonly storeDriver: string
  /** Null when this process does not take events. */
  readonly ingest: Ingest | null
  readonly pools: readonly WorkerPool[]
  /** The groups that the server declares at each start. */
  readonly ownGroups: readonly GroupName[]
  readonly logHealth: () => LogHealth
  readonly metrics: Metrics
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
}

/** What one look at log and store tells. */
interface Described {
  readonly status: Status
  readonly logSize: Pick<LogObservation, 'usedBytes' | 'limitBytes'>
}

interface Look {
  readonly described: Promise<Described>
  /** Null while it goes on. */
  endedAtMs: number | null
}

export class Core implements Pipeline {
  readonly administration: Administration
  readonly #options: CoreOptions
  readonly #observer: Observer
  readonly #startedAtMs: number
  #latest: Look | null = null

  constructor(options: CoreOptions) {
    this.#options = options
    this.administration = new Administrator(options)
    this.#observer = new Observer({ ...options, takes: options.ingest !== null, lands: options.pools.length > 0 })
    this.#startedAtMs = options.monotonicNow()
  }

  publish(message: PublishMessage, options?: PublishOptions): Promise<PublishVerdict> {
    const { ingest } = this.#options
    if (ingest === null) {
      const text = 'this process takes no events: its MILLRACE_ROLES lacks "ingest"'
      return Promise.reject(new MillraceError('failed_precondition', text, { field: 'MILLRACE_ROLES' }))
    }
    return ingest.publish(message, options)
  }

  async listEvents(query: EventQuery): Promise<EventPage> {
    checkText('type', query.type)
    checkText('source', query.source)
    return await this.#options.store.listEvents(query)
  }

  persistence(): string {
    return this.#options.logHealth().persistence
  }

  async status(): Promise<Status> {
    return (await this.#describeNow()).status
  }

  async observe(): Promise<Observed> {
    const { status, logSize } = await this.#describeNow()
    const atSeconds = Math.round(this.#options.monotonicNow() - this.#startedAtMs) / 1000
    const { problem, persistence } = this.#options.logHealth()
    const log = { ...logSize, problem, persistence }
    return { status, observations: { atSeconds, log, ...this.#observer.read() } }
  }

  /** One look at a time: where log or database are slow, each further one would make them slower. */
  #describeNow(): Promise<Described> {
    const { monotonicNow } = this.#options
    const endedAtMs = this.#latest?.endedAtMs ?? null
    if (this.#latest === null || (endedAtMs !== null && monotonicNow() - endedAtMs > statusMaxAgeMs)) {
      const look: Look = { described: this.#describe(), endedAtMs: null }
      const end = () => {
        look.endedAtMs = monotonicNow()
      }
      look.described.then(end, end)
      this.#latest = look
    }
    return this.#latest.described
  }

  async #describe(): Promise<Described> {
    const { version, eventLog, pools, now, monotonicNow } = this.#options
    const [log, store] = await Promise.all([eventLog.describe(), this.#describeStore()])
    const status: Status = {
      version,
      uptimeSeconds: Math.round(monotonicNow() - this.#startedAtMs) / 1000,
      durability: log.durability,
      log: { driver: log.driver, epoch: log.epoch },
      store,
      topics: topicStatuses(log, pools, now()),
      ledger: ledgerRows(log),
      // There is no live feed yet whose subscribers could be counted.
      subscribers: null,
      workers: pools.length,
    }
    return { status, logSize: { usedBytes: log.usedBytes, limitBytes: log.limitBytes } }
  }

  /** A database that stands still must not keep the ledger from those who look for the cause: it counts as down. */
  async #describeStore(): Promise<Status['store']> {
    const { store, storeDriver } = this.#options
    const { driver, up } = await withinMs(store.describe(), storeAnswerMs, { driver: storeDriver, up: false })
    return { driver, up }
  }
}

function topicStatuses(log: LogDescription, pools: readonly WorkerPool[], nowMs: number): TopicStatus[] {
  return log.topics.map(({ name: topic, partitions, groups }) => ({
    name: topic,
    partitions,
    groups: groups.map(({ name, waiting, inFlight, skipped, oldestWaitingMicros, paused }) => ({
      name,
      types: [],
      waiting,
      inFlight,
      skipped,
      oldestWaitingSeconds: oldestWaitingMicros === null ? null : Math.max(0, nowMs / 1000 - oldestWaitingMicros / 1e6),
      paused: pausedText(paused, pools.find((pool) => pool.topic === topic && pool.group === name)?.paused ?? null),
    })),
  }))
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
      balanced: waiting === auditedWaiting && accepted + reopened === waiting + landed + dead + lost,
    })),
  )
}
