// The pipeline as the holder of a key may use it.
//
// Job: the topics, the types and the rate of the key, and whose requests and subscribers its own are. Whether the key may call at all, by its
// scopes, is decided before (api/access.ts).

import type { Administration } from '../pipeline/administration.ts'
import type { Agents } from '../pipeline/agents.ts'
import type { Files } from '../pipeline/files.ts'
import type { Grant, Keys } from '../pipeline/keys.ts'
import type { Live } from '../pipeline/live.ts'
import type { ListedGroup, Observed, Pipeline, Status } from '../pipeline/pipeline.ts'
import type { Requests } from '../pipeline/requests.ts'
import type { StatusHistory } from '../pipeline/status-history.ts'
import type { EventPage, EventQuery } from '../pipeline/stored-event.ts'
import type { WorkerStatus, WorkJoin, WorkListener, WorkSession } from '../pipeline/work.ts'
import { EventRate } from './event-rate.ts'
import { isNarrow, onlyOf, seesEvent, seesTopic } from './outside.ts'
import { restrictAdministration } from './restricted-administration.ts'
import { restrictAgents } from './restricted-agents.ts'
import { restrictFiles } from './restricted-files.ts'
import { restrictKeys } from './restricted-keys.ts'
import { restrictLive } from './restricted-live.ts'
import { withinRate, withinTopics, withinTypes } from './restricted-publish.ts'
import { restrictRequests } from './restricted-requests.ts'
import { restrictHistory, restrictObserved, restrictStatus } from './restricted-status.ts'
import { restrictJoin } from './restricted-work.ts'

/** @param now a monotonic clock, in milliseconds. */
export function restrict(pipeline: Pipeline, grant: Grant, now?: () => number): Pipeline {
  return restrictAtRate(pipeline, grant, rateOf(grant, now))
}

/** As `restrict`, with a rate that others may look at. */
export function restrictAtRate(pipeline: Pipeline, grant: Grant, rate: EventRate | null): Pipeline {
  return new RestrictedPipeline(pipeline, grant, rate)
}

/** How fast the key may publish; null: as fast as it can. */
export function rateOf({ ratePerSecond }: Grant, now: () => number = () => performance.now()): EventRate | null {
  return ratePerSecond === null ? null : new EventRate(ratePerSecond, now)
}

class RestrictedPipeline implements Pipeline {
  readonly #pipeline: Pipeline
  readonly #grant: Grant
  readonly publish: Pipeline['publish']
  readonly files: Files
  readonly live: Live
  readonly requests: Requests
  readonly administration: Administration
  readonly agents: Agents
  readonly keys: Keys

  constructor(pipeline: Pipeline, grant: Grant, rate: EventRate | null) {
    this.#pipeline = pipeline
    this.#grant = grant
    const { files, administration, agents, keys } = pipeline
    const isWide = !isNarrow(grant)
    this.publish = publishOf(pipeline, grant, rate)
    this.files = isWide ? files : restrictFiles(files, grant)
    this.live = restrictLive(pipeline.live, grant)
    this.requests = restrictRequests(pipeline.requests, grant, rate)
    this.administration = isWide ? administration : restrictAdministration(administration, grant)
    this.agents = isWide && rate === null ? agents : restrictAgents(agents, grant, rate)
    this.keys = isWide ? keys : restrictKeys(keys)
  }

  async listEvents(query: EventQuery): Promise<EventPage> {
    const type = query.type ?? onlyOf(this.#grant.types)
    const page = await this.#pipeline.listEvents(type === undefined ? query : { ...query, type })
    return isNarrow(this.#grant)
      ? { ...page, events: page.events.filter((event) => seesEvent(this.#grant, event)) }
      : page
  }

  persistence(): string {
    return this.#pipeline.persistence()
  }

  async status(): Promise<Status> {
    const status = await this.#pipeline.status()
    return isNarrow(this.#grant) ? restrictStatus(status, this.#grant) : status
  }

  async observe(): Promise<Observed> {
    const observed = await this.#pipeline.observe()
    return isNarrow(this.#grant) ? restrictObserved(observed, this.#grant) : observed
  }

  async groups(): Promise<readonly ListedGroup[]> {
    return (await this.#pipeline.groups()).filter(({ topic }) => seesTopic(this.#grant, topic))
  }

  async workers(): Promise<readonly WorkerStatus[]> {
    return (await this.#pipeline.workers()).filter(({ topic }) => seesTopic(this.#grant, topic))
  }

  /** Its totals are those of all topics. */
  async history(): Promise<StatusHistory> {
    const history = await this.#pipeline.history()
    return isNarrow(this.#grant) ? restrictHistory(history) : history
  }

  async work(join: WorkJoin, listener: WorkListener): Promise<WorkSession> {
    if (!isNarrow(this.#grant)) return await this.#pipeline.work(join, listener)
    return await restrictJoin(this.#grant, join, (narrowed) => this.#pipeline.work(narrowed, listener))
  }
}

function publishOf(pipeline: Pipeline, grant: Grant, rate: EventRate | null): Pipeline['publish'] {
  let publish: Pipeline['publish'] = (message, options) => pipeline.publish(message, options)
  if (rate !== null) publish = withinRate(publish, grant, rate)
  // Before the rate: what is not for the key does not use it up.
  if (grant.types !== null) publish = withinTypes(publish, grant)
  return grant.topics === null ? publish : withinTopics(publish, grant)
}
