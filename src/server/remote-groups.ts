// The groups whose workers are other processes: one pool for each group that has workers at this server.
//
// Job: check what a worker asks for; the first one of a group declares it and starts its pool, with the last one it ends.
// Not its job: giving events to workers (workers/remote/).

import type { Config } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import type { EventLog } from '../event-log/event-log.ts'
import type { WorkerStatus, WorkJoin, WorkListener, WorkSession } from '../pipeline/work.ts'
import { defineHandler, type HandlerDefinition, type HandlerOptions, limitNames } from '../workers/define-handler.ts'
import type { HandlerPool } from '../workers/handler-pool.ts'
import type { Pool } from '../workers/pool.ts'
import { RemoteWorkers } from '../workers/remote/remote-workers.ts'
import { declareHandler, type MakePool } from './assemble-handlers.ts'
import { isLandingGroup } from './assemble-landing.ts'

/** More would be in hand of one worker, and lose an attempt with it. */
const maxInFlightLimit = 1000

/** The option of a handler → the field of a join. */
const fieldOfOption: Readonly<Record<string, string>> = {
  ...{ topic: 'topic', group: 'group', types: 'types', ordered: 'ordered', timeoutMs: 'timeout' },
  ...{ 'retry.maxAttempts': 'max_attempts', 'retry.initialDelayMs': 'initial_delay' },
  ...{ 'retry.maxDelayMs': 'max_delay', onExhausted: 'on_exhausted' },
  ...{ groupConcurrency: 'group_concurrency', ratePerSecond: 'rate_per_second', limitPerKey: 'limit_per_key' },
  request: 'request',
}

export interface RemoteGroupsOptions {
  readonly config: Config
  readonly eventLog: EventLog
  /** The handlers of this process. */
  readonly handlers: readonly HandlerDefinition[]
  /** The pools of this process; those of these groups are added and removed. */
  readonly pools: Pool[]
  readonly poolOf: MakePool
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

interface RemoteGroup {
  readonly handler: HandlerDefinition
  readonly workers: RemoteWorkers
  readonly pool: HandlerPool
  readonly started: Promise<void>
  /** Null while workers can join it. */
  closed: Promise<void> | null
}

export class RemoteGroups {
  readonly #options: RemoteGroupsOptions
  readonly #groups = new Map<string, RemoteGroup>()
  #isStopping = false

  constructor(options: RemoteGroupsOptions) {
    this.#options = options
  }

  /** See Pipeline.work. */
  async join(join: WorkJoin, listener: WorkListener): Promise<WorkSession> {
    this.#check(join)
    const { now } = this.#options
    const name = JSON.stringify([join.request, join.topic, join.group])
    for (;;) {
      if (!this.#groups.has(name)) await this.#open(name, join)
      const group = this.#groups.get(name)!
      if (group.closed === null) refuseOthers(join, group.handler)
      await group.started
      if (group.closed === null) return group.workers.join(listener, join.maxInFlight, now())
      await group.closed
    }
  }

  /** See Pipeline.workers. */
  workers(): WorkerStatus[] {
    const placeOf = ({ topic, group, sinceMs }: WorkerStatus) => JSON.stringify([topic, group, sinceMs])
    const all = [...this.#groups.values()].flatMap(({ workers }) => workers.status())
    return all.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1))
  }

  /** Gives out nothing more, takes outcomes until the time is up, and ends the sessions. Idempotent. */
  async close(graceMs: number): Promise<void> {
    this.#isStopping = true
    await Promise.all([...this.#groups].map(([name, group]) => this.#close(name, group, graceMs)))
  }

  #check({ request, topic, group, maxInFlight }: WorkJoin): void {
    const { config, handlers } = this.#options
    const names = config.topics.map((each) => each.name)
    if (request === '' && !names.includes(topic)) {
      const text = `topic ${JSON.stringify(topic.slice(0, 64))} is not declared; this server has ${names.join(', ')}`
      throw new MillraceError('not_found', `join.topic: ${text}`, { field: 'join.topic' })
    }
    if (!(maxInFlight >= 1 && maxInFlight <= maxInFlightLimit)) {
      throw refusal('invalid_event', 'max_in_flight', `is ${maxInFlight}; it must be from 1 to ${maxInFlightLimit}`)
    }
    if (isLandingGroup({ topic, group }))
      throw refusal(
        'failed_precondition',
        'group',
        `is ${group}, which the server itself works for: give it another name`,
      )
    if (request !== '' && handlers.some((each) => each.request === request))
      throw refusal('failed_precondition', 'request', `is ${request}, which a handler of this server answers`)
    if (handlers.some((each) => each.topic === topic && each.group === group))
      throw refusal('failed_precondition', 'group', `is ${group}, which a handler of this server works for`)
  }

  /** Errors: those of defineHandler, which name the field of the join. */
  #define({ request, topic, group, types, ordered, onExhausted, ...join }: WorkJoin): HandlerDefinition {
    const { maxAttempts } = this.#options.config
    const retry = {
      maxAttempts: join.maxAttempts ?? maxAttempts,
      ...(join.initialDelayMs === null ? {} : { initialDelayMs: join.initialDelayMs }),
      ...(join.maxDelayMs === null ? {} : { maxDelayMs: join.maxDelayMs }),
    }
    try {
      const name = { ...(topic === '' ? {} : { topic }), ...(group === '' ? {} : { group }) }
      // Its overloads take one kind of options each.
      return defineHandler({
        ...(request === '' ? { topic, group } : { request, ...name }),
        ...{ retry, handle: () => {} },
        ...(types.length === 0 ? {} : { types }),
        ...(ordered === null ? {} : { ordered }),
        ...(join.timeoutMs === null ? {} : { timeoutMs: join.timeoutMs }),
        ...(onExhausted === null ? {} : { onExhausted }),
        ...Object.fromEntries(limitNames.flatMap((limit) => (join[limit] === null ? [] : [[limit, join[limit]]]))),
      } as HandlerOptions)
    } catch (thrown) {
      if (!(thrown instanceof MillraceError)) throw thrown
      const field = fieldOfOption[thrown.field ?? ''] ?? ''
      throw new MillraceError(thrown.code, `join.${field}: ${thrown.message}`, {
        field: `join.${field}`,
        cause: thrown,
      })
    }
  }

  async #open(name: string, join: WorkJoin): Promise<void> {
    const { eventLog, config, pools, poolOf } = this.#options
    const asDeclared = async () => join.limitPerKey === null && (await this.#isOrdered(join))
    const handler = this.#define(
      join.request === '' ? { ...join, ordered: join.ordered ?? (await asDeclared()) } : join,
    )
    if (this.#isStopping) throw new MillraceError('draining', 'the server is stopping: join at another one')
    // Another worker was quicker.
    if (this.#groups.has(name)) return
    const made: { workers?: RemoteWorkers } = {}
    const pool = poolOf(handler, {
      concurrency: () => made.workers!.places,
      attemptsOf: (_, parts, onRoom) => {
        made.workers = new RemoteWorkers(handler, parts, onRoom, () => void this.#close(name, group, config.drainMs))
        return made.workers
      },
    })
    const start = async () => {
      try {
        await declareHandler(eventLog, handler, config.topics)
        await pool.start()
      } catch (error) {
        void this.#close(name, group, 0)
        throw error
      }
    }
    const group: RemoteGroup = { handler, workers: made.workers!, pool, started: start(), closed: null }
    this.#groups.set(name, group)
    pools.push(pool)
  }

  async #isOrdered({ topic, group }: WorkJoin): Promise<boolean> {
    const { topics } = await this.#options.eventLog.describe()
    const groups = topics.find(({ name }) => name === topic)?.groups ?? []
    return groups.find(({ name }) => name === group)?.ordered ?? false
  }

  #close(name: string, group: RemoteGroup, graceMs: number): Promise<void> {
    const { pools } = this.#options
    const close = async () => {
      await Promise.allSettled([group.started])
      await group.pool.close(graceMs)
      pools.splice(pools.indexOf(group.pool), 1)
      this.#groups.delete(name)
    }
    group.closed ??= close()
    return group.closed
  }
}

/** Throws when the join gives a value that is not the group's. */
function refuseOthers(join: WorkJoin, handler: HandlerDefinition): void {
  const { types, ordered, timeoutMs, maxAttempts, initialDelayMs, maxDelayMs, onExhausted } = join
  const refuse = (option: string, given: unknown, declared: unknown) => {
    const values = `is ${JSON.stringify(given)}, but the workers of the group have ${JSON.stringify(declared)}`
    throw refusal('failed_precondition', fieldOfOption[option]!, `${values}: leave it out, or stop them first`)
  }
  if (types.length > 0 && JSON.stringify(types) !== JSON.stringify(handler.types)) refuse('types', types, handler.types)
  if (ordered !== null && ordered !== handler.ordered) refuse('ordered', ordered, handler.ordered)
  if (timeoutMs !== null && timeoutMs !== handler.timeoutMs) refuse('timeoutMs', timeoutMs, handler.timeoutMs)
  if (maxAttempts !== null && maxAttempts !== handler.maxAttempts)
    refuse('retry.maxAttempts', maxAttempts, handler.maxAttempts)
  if (initialDelayMs !== null && initialDelayMs !== handler.initialDelayMs)
    refuse('retry.initialDelayMs', initialDelayMs, handler.initialDelayMs)
  if (maxDelayMs !== null && maxDelayMs !== handler.maxDelayMs)
    refuse('retry.maxDelayMs', maxDelayMs, handler.maxDelayMs)
  if (onExhausted !== null && onExhausted !== handler.onExhausted)
    refuse('onExhausted', onExhausted, handler.onExhausted)
  for (const limit of limitNames) {
    const declared = handler.limits[limit] ?? null
    if (join[limit] !== null && join[limit] !== declared) refuse(limit, join[limit], declared)
  }
}

function refusal(code: 'invalid_event' | 'failed_precondition', field: string, problem: string): MillraceError {
  return new MillraceError(code, `join.${field} ${problem}`, { field: `join.${field}` })
}
