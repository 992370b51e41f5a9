// Implements Administration (administration.ts) with the log and the database.

import { MillraceError } from '../errors.ts'
import { defaultSource, eventIdOf, isUuid, uuidFromBytes, uuidOfSourceAndId } from '../event/event.ts'
import { compileTypePatterns } from '../event/type-pattern.ts'
import type { TopicDescription } from '../event-log/event-log.ts'
import {
  type Administration,
  type DeadLetterDetail,
  type DeleteAnswer,
  type DeleteGroupAnswer,
  type EventName,
  type GroupName,
  type HeldKeys as HeldKeysAnswer,
  type Journey,
  maxWorkMs,
  type RedriveAnswer,
  type RedriveRequest,
  type ReleaseAction,
  type ReplayAnswer,
  type ReplayRequest,
  type WorkOptions,
} from '../pipeline/administration.ts'
import {
  type DeadLetterCause,
  type DeadLetterFilter,
  type DeadLetterPage,
  type DeadLetterQuery,
  type DeadLetterSummary,
  maxDeadLetterIds,
} from '../pipeline/dead-letters.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'
import { deadLetterTopic } from '../workers/dead-letters.ts'
import type { AdminParts } from './admin-parts.ts'
import { eventOf } from './dead-letter-content.ts'
import { checkedFilter, checkId, checkText, refuseMissing } from './filter.ts'
import { Groups } from './groups.ts'
import { HeldKeys } from './held-keys.ts'
import { type HandledTimes, journeyOf } from './journey.ts'
import { Redriver } from './redrive.ts'
import { Replayer } from './replay.ts'

/** Maximum number of dead letters of one event that its journey shows. */
const maxLettersShown = 100

export class Administrator implements Administration {
  readonly #parts: AdminParts
  readonly #redriver: Redriver
  readonly #replayer: Replayer
  readonly #groups: Groups
  readonly #heldKeys: HeldKeys

  constructor(parts: AdminParts) {
    this.#parts = parts
    this.#redriver = new Redriver(parts)
    this.#replayer = new Replayer(parts)
    this.#groups = new Groups(parts)
    this.#heldKeys = new HeldKeys(parts)
  }

  journey(name: EventName): Promise<Journey> {
    return this.#parts.reads.run(() => this.#journey(name))
  }

  async #journey({ id, source }: EventName): Promise<Journey> {
    const { store } = this.#parts
    checkText('id', id)
    checkText('source', source)
    const eventIds = keysOfName(id, source)
    const found = (await store.findEvents(eventIds)).filter(
      ({ event }) => source === undefined || event.source === source,
    )
    // When two sources have used one UUID, the row whose key is the UUID itself is meant.
    const landed = found.find(({ event }) => event.eventId === eventIds[0]) ?? found[0] ?? null
    const { deadLetters } = await store.listDeadLetters({ eventIds, limit: maxLettersShown })
    const ofSource = source ?? landed?.event.source ?? deadLetters[0]?.source
    const letters = deadLetters.filter((letter) => letter.source === ofSource)
    const event = landed?.event ?? (await this.#eventIn(letters[0]))
    if (event === null) return await this.#notFound(id)
    return journeyOf(event, landed?.position ?? null, letters, await this.#handled(event))
  }

  /** What this process knows of the handlers that get an event: how much it has, and for which groups nothing. */
  async #handled({ topic, type, source, id }: StoredEvent): Promise<HandledTimes> {
    const { deliveryTimes, handlerGroups } = this.#parts
    // Without the log, the journey has what the database and this process have.
    const groups = await handlerGroups(topic).catch(() => [])
    return {
      deliveries: deliveryTimes.of({ source, id }).filter((delivery) => delivery.topic === topic),
      groups: groups.filter(({ types }) => types === null || compileTypePatterns(types)(type)),
      maxDeliveries: deliveryTimes.maxDeliveries,
    }
  }

  async listDeadLetters({ limit, cursor, ...filter }: DeadLetterQuery): Promise<DeadLetterPage> {
    const { store, reads } = this.#parts
    const checked = checkedFilter(filter)
    return await reads.run(() => store.listDeadLetters({ ...checked, limit, cursor }))
  }

  async groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]> {
    const { store, reads } = this.#parts
    const checked = checkedFilter(filter)
    return await reads.run(() => store.groupDeadLetters(checked))
  }

  async getDeadLetter(deadLetterId: string): Promise<DeadLetterDetail> {
    checkId(deadLetterId)
    const { store, reads } = this.#parts
    const [found] = await reads.run(() => store.readDeadLetters([deadLetterId]))
    if (found === undefined) throw new MillraceError('not_found', `there is no dead letter ${deadLetterId}`)
    const { event: bytes, ...letter } = found
    const event = eventOf(found)
    return { letter, event, damagedBytes: event === null ? bytes : null }
  }

  async redriveDeadLetters(request: RedriveRequest, options: WorkOptions = {}): Promise<RedriveAnswer> {
    return await this.#redriver.redrive({ ...request, filter: checkedFilter(request.filter) }, options)
  }

  async deleteDeadLetters(
    given: DeadLetterFilter,
    isDryRun: boolean,
    { signal }: WorkOptions = {},
  ): Promise<DeleteAnswer> {
    const { store, now, monotonicNow } = this.#parts
    if (Object.values(given).every((condition) => condition === undefined)) {
      const problem = 'filter has no condition: set at least one, because an empty filter would delete all dead letters'
      throw new MillraceError('invalid_event', problem, { field: 'filter' })
    }
    // The caller cannot have seen letters that are newer than the call.
    const filter = checkedFilter({ ...given, untilMicros: Math.min(given.untilMicros ?? Infinity, now() * 1000) })
    await refuseMissing(store, filter)
    const matched = await store.countDeadLetters(filter)
    const untilMs = monotonicNow() + maxWorkMs
    let deleted = 0
    while (!isDryRun && signal?.aborted !== true && monotonicNow() < untilMs) {
      const { deadLetters } = await store.listDeadLetters({ ...filter, limit: maxDeadLetterIds })
      if (deadLetters.length === 0) break
      deleted += await store.deleteDeadLetters(deadLetters.map(({ deadLetterId }) => deadLetterId))
    }
    return { matched, deleted }
  }

  replay(request: ReplayRequest, options: WorkOptions = {}): Promise<ReplayAnswer> {
    return this.#replayer.replay(request, options)
  }

  heldKeys(name: GroupName, limit: number): Promise<HeldKeysAnswer> {
    return this.#heldKeys.list(name, limit)
  }

  releaseKey(name: GroupName, key: string, action: ReleaseAction): Promise<void> {
    return this.#heldKeys.release(name, key, action)
  }

  pauseGroup(name: GroupName, reason: string): Promise<void> {
    return this.#groups.pause(name, reason)
  }

  resumeGroup(name: GroupName, rate?: number): Promise<void> {
    return this.#groups.resume(name, rate)
  }

  deleteGroup(name: GroupName): Promise<DeleteGroupAnswer> {
    return this.#groups.delete(name)
  }

  async #eventIn(letter: DeadLetterSummary | undefined): Promise<StoredEvent | null> {
    if (letter === undefined) return null
    const [whole] = await this.#parts.store.readDeadLetters([letter.deadLetterId])
    return whole === undefined ? null : eventOf(whole)
  }

  /** The log cannot be searched by event id, so the error reports how many events and dead letters wait. */
  async #notFound(id: string): Promise<never> {
    const { topics } = await this.#parts.eventLog.describe()
    const waitingIn = (chosen: readonly TopicDescription[]) =>
      chosen.reduce((sum, { groups }) => sum + Math.max(0, ...groups.map((group) => group.waiting)), 0)
    const waiting = waitingIn(topics.filter(({ name }) => name !== deadLetterTopic))
    const dead = waitingIn(topics.filter(({ name }) => name === deadLetterTopic))
    const places = [
      ...(waiting === 0 ? [] : [`the events that are waiting (${waiting})`]),
      ...(dead === 0 ? [] : [`the dead letters that are not stored yet (${dead})`]),
    ]
    const perhaps =
      places.length === 0 ? 'and no events are waiting' : `but it may be among ${places.join(' or ')}: try again later`
    const shown = JSON.stringify(id.slice(0, 80))
    throw new MillraceError('not_found', `event ${shown} has neither landed nor died, ${perhaps}`, { field: 'id' })
  }
}

/** The keys under which this event can have its row or its dead letters, the most likely first. */
function keysOfName(id: string, source: string | undefined): string[] {
  const first = uuidFromBytes(eventIdOf(source ?? defaultSource, id))
  return isUuid(id) && source !== undefined ? [first, uuidFromBytes(uuidOfSourceAndId(source, first))] : [first]
}
