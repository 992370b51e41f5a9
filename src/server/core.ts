// The core: implements Pipeline (pipeline.ts) with the server's parts.

import type { HandlerGroup } from '../admin/admin-parts.ts'
import { Administrator } from '../admin/administrator.ts'
import { checkText } from '../admin/filter.ts'
import { Observer } from '../admin/observer.ts'
import { MillraceError } from '../errors.ts'
import type { LogHealth } from '../event-log/event-log.ts'
import type { Ingest } from '../ingest/ingest.ts'
import { Slots } from '../lib/slots.ts'
import type { Administration, GroupName } from '../pipeline/administration.ts'
import type { Agents } from '../pipeline/agents.ts'
import type { Files } from '../pipeline/files.ts'
import type { Keys } from '../pipeline/keys.ts'
import type { Live } from '../pipeline/live.ts'
import type {
  ListedGroup,
  Observed,
  Pipeline,
  PublishMessage,
  PublishOptions,
  PublishVerdict,
  Status,
} from '../pipeline/pipeline.ts'
import type { Requests } from '../pipeline/requests.ts'
import type { StatusHistory } from '../pipeline/status-history.ts'
import type { EventPage, EventQuery } from '../pipeline/stored-event.ts'
import type { WorkerStatus, WorkJoin, WorkListener, WorkSession } from '../pipeline/work.ts'
import type { EventStore } from '../store/event-store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { DeliveryTimes } from '../workers/delivery-times.ts'
import { AgentRegistry } from './agents.ts'
import { isLandingGroup } from './assemble-landing.ts'
import type { RemoteGroups } from './remote-groups.ts'
import { type StatusParts, StatusReader } from './status.ts'
import { StatusRecorder } from './status-recorder.ts'

export interface CoreOptions extends Omit<StatusParts, 'subscribers'> {
  readonly store: EventStore
  readonly files: Files
  readonly keys: Keys
  /** Null when this process accepts no events. */
  readonly ingest: Ingest | null
  /** Null when it takes no requests. */
  readonly requests: Requests | null
  /** Null when it has no subscribers. */
  readonly live: Live | null
  /** Null when it has no workers of other processes. */
  readonly remoteGroups: RemoteGroups | null
  readonly deliveryTimes: DeliveryTimes
  /** The groups that the server declares at each start. */
  readonly ownGroups: readonly GroupName[]
  readonly logHealth: () => LogHealth
  readonly metrics: Metrics
  readonly logger: Logger
  /** How long after its last heartbeat an agent counts as online. */
  readonly agentOfflineMs: number
}

/** So that landing, the status and the serving of publishes never wait for more than this many pages. */
const maxReadsAtOnce = 2

export class Core implements Pipeline {
  readonly requests: Requests
  readonly administration: Administration
  readonly files: Files
  readonly keys: Keys
  readonly live: Live
  readonly agents: Agents
  readonly #options: CoreOptions
  readonly #reads = new Slots(maxReadsAtOnce)
  readonly #observer: Observer
  readonly #statusReader: StatusReader
  readonly #recorder: StatusRecorder

  constructor(options: CoreOptions) {
    this.#options = options
    this.files = options.files
    this.keys = options.keys
    this.live = options.live ?? noLive
    this.requests = options.requests ?? noRequests
    this.administration = new Administrator({
      ...options,
      reads: this.#reads,
      handlerGroups: (topic) => this.#handlerGroups(topic),
    })
    this.agents = new AgentRegistry({
      ...options,
      publish: (message) => this.publish(message),
      reads: this.#reads,
      offlineMs: options.agentOfflineMs,
    })
    this.#observer = new Observer({ ...options, takes: options.ingest !== null, lands: options.pools.length > 0 })
    this.#statusReader = new StatusReader({
      ...options,
      subscribers: async () => (await this.live.subscribers()).length,
    })
    this.#recorder = new StatusRecorder({
      ...options,
      totals: () => ({ ...this.#observer.totals(), dead: options.metrics.deadLetters.total() }),
      latest: () => this.#statusReader.latest(),
      read: () => this.#statusReader.read(),
    })
  }

  publish(message: PublishMessage, options?: PublishOptions): Promise<PublishVerdict> {
    const { ingest } = this.#options
    if (ingest === null) return Promise.reject(noIngest('accepts no events'))
    return ingest.publish(message, options)
  }

  work(join: WorkJoin, listener: WorkListener): Promise<WorkSession> {
    const { remoteGroups } = this.#options
    if (remoteGroups === null) return Promise.reject(noIngest('has no events for workers'))
    return remoteGroups.join(join, listener)
  }

  async listEvents(query: EventQuery): Promise<EventPage> {
    checkText('topic', query.topic)
    checkText('type', query.type)
    checkText('source', query.source)
    return await this.#reads.run(() => this.#options.store.listEvents(query))
  }

  persistence(): string {
    return this.#options.logHealth().persistence
  }

  async status(): Promise<Status> {
    return (await this.#statusReader.read()).status
  }

  async groups(): Promise<readonly ListedGroup[]> {
    return (await this.#statusReader.read()).groups
  }

  async workers(): Promise<readonly WorkerStatus[]> {
    return this.#options.remoteGroups?.workers() ?? []
  }

  async observe(): Promise<Observed> {
    const { status, logSize } = await this.#statusReader.read()
    const atSeconds = this.#statusReader.uptimeSeconds()
    const { problem, persistence } = this.#options.logHealth()
    const log = { ...logSize, problem: problem?.message ?? null, persistence }
    return { status, observations: { atSeconds, log, ...this.#observer.read() } }
  }

  async history(): Promise<StatusHistory> {
    return this.#recorder.history()
  }

  /** Asks the log for nothing by itself any more. */
  close(): void {
    this.#recorder.close()
  }

  async #handlerGroups(topic: string): Promise<HandlerGroup[]> {
    const { topics } = await this.status()
    const groups = topics.find(({ name }) => name === topic)?.groups ?? []
    return groups
      .filter(({ name: group }) => !isLandingGroup({ topic, group }))
      .map(({ name: group }) => {
        const pool = this.#options.pools.find((each) => each.topic === topic && each.group === group)
        return { group, types: pool?.types ?? null }
      })
  }
}

const refuseRequest = () => Promise.reject(noIngest('takes no requests'))
const noRequests: Requests = { request: refuseRequest, getReply: refuseRequest }

const refuseSubscriber = () => Promise.reject(noIngest('has no live feed'))
const noLive: Live = { subscribe: refuseSubscriber, landedCursor: refuseSubscriber, subscribers: async () => [] }

function noIngest(what: string): MillraceError {
  const text = `this process ${what}: its MILLRACE_ROLES lacks "ingest"`
  return new MillraceError('failed_precondition', text, { field: 'MILLRACE_ROLES' })
}
