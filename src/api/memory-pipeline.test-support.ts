// A pipeline that keeps its events in an array, for the tests of api/.
//
// It validates events as the real one does; it neither stores nor lands them. A test can limit its room, delay its
// answers and make it fail.

import assert from 'node:assert/strict'
import { MillraceError } from '../errors.ts'
import { type Event, EventIdGenerator, eventIdOf, uuidFromBytes } from '../event/event.ts'
import { MessageScanner } from '../event/message-scan.ts'
import { decodeBatch } from '../event/record-batch.ts'
import type { Administration } from '../pipeline/administration.ts'
import type { Agents } from '../pipeline/agents.ts'
import type { Files } from '../pipeline/files.ts'
import { runningState } from '../pipeline/group-state.ts'
import type { Keys } from '../pipeline/keys.ts'
import type {
  ListedGroup,
  Observed,
  Pipeline,
  PublishMessage,
  PublishOptions,
  PublishVerdict,
  Rejection,
  Status,
} from '../pipeline/pipeline.ts'
import type { Requests } from '../pipeline/requests.ts'
import type { StatusHistory } from '../pipeline/status-history.ts'
import type { EventPage, EventQuery, StoredEvent } from '../pipeline/stored-event.ts'
import type { WorkerStatus } from '../pipeline/work.ts'
import { ScriptedLive } from './scripted-live.test-support.ts'

export interface KeptEvent extends Event {
  readonly topic: string
  readonly receivedAtMicros: number
}

export class MemoryPipeline implements Pipeline {
  readonly events: KeptEvent[] = []
  /** Every published message, with its options. */
  readonly calls: { readonly message: PublishMessage; readonly options: PublishOptions | undefined }[] = []
  topics = ['events', 'orders']
  /** How many events there is room for. */
  maxEvents = Number.POSITIVE_INFINITY
  retryAfterMs = 1500
  draining = false
  /** While set, every publish throws it. */
  failure: MillraceError | null = null
  storeFailure: MillraceError | null = null
  statusAnswer: Status = exampleStatus
  readonly administration: Administration = { ...refusing }
  files: Files = {
    upload: refuse,
    uploadState: refuse,
    file: refuse,
    download: () => ({ [Symbol.asyncIterator]: () => ({ next: refuse }) }),
  }
  readonly live = new ScriptedLive()
  requests: Requests = { request: refuse, getReply: refuse }
  keys: Keys = {
    ...{ create: refuse, list: refuse, revoke: refuse, check: () => null, checkTicket: async () => null },
    ...{ onEnded: () => () => {}, createTicket: () => assert.fail('no ticket is made') },
  }
  readonly agents: Agents = { heartbeat: refuse, listAgents: refuse, agent: refuse }

  readonly #ids = new EventIdGenerator()
  #gate: PromiseWithResolvers<void> | null = null
  #roomMade = Promise.withResolvers<void>()

  work(): Promise<never> {
    return refuse()
  }

  /** From now on no publish is answered, until `release()`. */
  hold(): void {
    this.#gate ??= Promise.withResolvers()
  }

  release(): void {
    this.#gate?.resolve()
    this.#gate = null
  }

  makeRoom(maxEvents: number): void {
    this.maxEvents = maxEvents
    this.#roomMade.resolve()
    this.#roomMade = Promise.withResolvers()
  }

  async publish(message: PublishMessage, options?: PublishOptions): Promise<PublishVerdict> {
    this.calls.push({ message, options })
    if (this.failure !== null) throw this.failure
    if (this.draining) throw new MillraceError('draining', 'the server is stopping')
    if (!this.topics.includes(message.topic)) {
      throw new MillraceError('not_found', `topic ${message.topic} is not declared`, { field: 'topic' })
    }
    const scan = new MessageScanner().scan(message.message)
    const refusals: Rejection[] = [...scan.refusals]
    const taken: Uint8Array[] = []
    const indexes: number[] = []
    for (let index = 0; index < scan.count; index++) {
      if (scan.laneIndexes[index] === 255) continue
      taken.push(message.message.slice(scan.starts[index], scan.ends[index]))
      indexes.push(index)
    }
    await this.#gate?.promise
    const events = taken.flatMap((bytes) => decodeBatch(bytes))
    if (message.overflow === 'wait') await this.#waitForRoom(events.length, options)
    let accepted = 0
    let dropped = 0
    for (const [at, event] of events.entries()) {
      if (this.events.length < this.maxEvents) {
        this.#keep(message.topic, event)
        accepted++
      } else if (message.overflow === 'drop') {
        dropped++
      } else {
        const reason = 'too many events are waiting for group landing'
        const { retryAfterMs } = this
        refusals.push({ index: indexes[at]!, id: event.id, code: 'backlogged', message: reason, retryAfterMs })
      }
    }
    return { accepted, dropped, rejections: refusals.sort((a, b) => a.index - b.index), durability: 'disk' }
  }

  async listEvents(query: EventQuery): Promise<EventPage> {
    if (this.storeFailure !== null) throw this.storeFailure
    const from = query.cursor === undefined ? 0 : Number(query.cursor)
    if (!Number.isSafeInteger(from))
      throw new MillraceError('invalid_event', 'cursor is not valid', { field: 'cursor' })
    const found = this.events.filter(
      (event) =>
        (query.topic === undefined || event.topic === query.topic) &&
        (query.type === undefined || event.type === query.type) &&
        (query.source === undefined || event.source === query.source) &&
        (query.sinceMicros === undefined || event.receivedAtMicros >= query.sinceMicros) &&
        (query.untilMicros === undefined || event.receivedAtMicros < query.untilMicros),
    )
    const page = found.toReversed().slice(from, from + query.limit)
    return {
      events: page.map(toStored),
      nextCursor: found.length > from + query.limit ? String(from + query.limit) : null,
    }
  }

  persistence(): string {
    return 'none'
  }

  async status(): Promise<Status> {
    return this.statusAnswer
  }

  async observe(): Promise<Observed> {
    const log = { usedBytes: null, limitBytes: null, problem: null, persistence: 'unknown' }
    const observations = { atSeconds: 12.5, published: null, landing: null, log, store: null }
    return { status: await this.status(), observations }
  }

  async groups(): Promise<readonly ListedGroup[]> {
    const { topics } = await this.status()
    const told = { ratePerSecond: null, options: null }
    return topics.flatMap(({ name: topic, groups }) => groups.map((group) => ({ topic, ...group, ...told })))
  }

  async workers(): Promise<readonly WorkerStatus[]> {
    return []
  }

  async history(): Promise<StatusHistory> {
    return {
      ...{
        seconds: [1, 2],
        accepted: [null, 3],
        rejected: [null, 0],
        landed: [null, null],
        dead: [0, 0],
        waiting: [7, null],
      },
      ...{ landingP50Seconds: [null, null], landingP99Seconds: [null, null] },
    }
  }

  #keep(topic: string, event: Event): void {
    const id = event.id === '' ? this.#ids.next() : event.id
    const receivedAtMicros = Date.now() * 1000 + (this.events.length % 1000)
    this.events.push({ ...event, id, source: event.source || '/', topic, receivedAtMicros })
  }

  async #waitForRoom(count: number, options: PublishOptions | undefined): Promise<void> {
    const { signal, maxWaitMs, onWait } = options ?? {}
    const until = maxWaitMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + maxWaitMs
    if (this.events.length + count > this.maxEvents) onWait?.()
    while (this.events.length + count > this.maxEvents && performance.now() < until) {
      const ended = Promise.withResolvers<void>()
      const onAbort = () => ended.reject(new MillraceError('cancelled', 'the call was cancelled'))
      if (signal?.aborted) onAbort()
      signal?.addEventListener('abort', onAbort)
      const timer = Number.isFinite(until) ? setTimeout(ended.resolve, until - performance.now()) : undefined
      try {
        await Promise.race([this.#roomMade.promise, ended.promise])
      } finally {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
    }
  }
}

const refuse = () => Promise.reject(new MillraceError('unimplemented', 'this pipeline only accepts events'))

const refusing: Administration = {
  journey: refuse,
  listDeadLetters: refuse,
  groupDeadLetters: refuse,
  getDeadLetter: refuse,
  redriveDeadLetters: refuse,
  deleteDeadLetters: refuse,
  replay: refuse,
  pauseGroup: refuse,
  resumeGroup: refuse,
  deleteGroup: refuse,
  heldKeys: refuse,
  releaseKey: refuse,
}

function toStored(event: KeptEvent): StoredEvent {
  const isJson = event.dataContentType === '' || /json/.test(event.dataContentType)
  return {
    ...event,
    eventId: uuidFromBytes(eventIdOf(event.source, event.id)),
    timeMicros: event.timeMicros ?? event.receivedAtMicros,
    data: event.data.length === 0 ? null : Uint8Array.from(event.data),
    isJson,
    dataOmitted: null,
  }
}

export const exampleStatus: Status = {
  version: '1.2.3',
  uptimeSeconds: 12.5,
  durability: 'disk',
  log: { driver: 'embedded', epoch: 1 },
  store: { driver: 'sqlite', up: true },
  state: 'degraded',
  causes: [{ component: 'log', reason: 'disk_full', message: 'the disk is full' }],
  topics: [
    {
      name: 'events',
      partitions: 1,
      groups: [
        {
          name: 'landing',
          types: [],
          waiting: 3,
          ready: 2,
          scheduled: 0,
          held: 0,
          inFlight: 1,
          skipped: 0,
          oldestWaitingSeconds: 0.25,
          state: runningState,
        },
      ],
    },
  ],
  ledger: [
    {
      topic: 'events',
      group: 'landing',
      accepted: 10,
      reopened: 0,
      waiting: 3,
      landed: 7,
      dead: 0,
      lost: 0,
      balanced: null,
    },
  ],
  processes: [
    { id: 'p-1', roles: ['ingest', 'worker'], host: 'mill', version: '1.2.3', startedAtMs: 1_795_000_000_000 },
  ],
  subscribers: null,
  workers: 1,
}
