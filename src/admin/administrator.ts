// What people can do with events that were accepted (administration.ts), over the log and the database.

import {
  type Administration,
  type DeadLetterDetail,
  type DeleteAnswer,
  type EventName,
  type Journey,
  maxWorkMs,
  type RedriveAnswer,
  type RedriveRequest,
  type ReplayAnswer,
  type ReplayRequest,
  type WorkOptions,
} from '../administration.ts'
import { MillraceError } from '../errors.ts'
import { defaultSource, eventIdOf, isUuid, uuidFromBytes, uuidOfSourceAndId } from '../event.ts'
import type { EventLog } from '../event-log/event-log.ts'
import {
  type DeadLetter,
  type DeadLetterCause,
  type DeadLetterFilter,
  type DeadLetterPage,
  type DeadLetterQuery,
  maxDeadLetterIds,
} from '../store/dead-letter.ts'
import type { EventStore } from '../store/event-store.ts'
import { eventOf } from './dead-letter-content.ts'
import { journeyOf } from './journey.ts'
import { Redriver } from './redrive.ts'
import { Replayer } from './replay.ts'

/** Deaths of one event that its journey shows. */
const maxDeathsShown = 100

export interface AdministratorOptions {
  readonly eventLog: EventLog
  readonly store: EventStore
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
}

export class Administrator implements Administration {
  readonly #options: AdministratorOptions
  readonly #redriver: Redriver
  readonly #replayer: Replayer

  constructor(options: AdministratorOptions) {
    this.#options = options
    this.#redriver = new Redriver(options)
    this.#replayer = new Replayer(options)
  }

  async journey({ id, source }: EventName): Promise<Journey> {
    const { store } = this.#options
    if (id === '') throw new MillraceError('invalid_event', 'id is empty', { field: 'id' })
    const eventIds = rowKeysOf(id, source)
    const found = (await store.findEvents(eventIds)).filter(
      ({ event }) => source === undefined || event.source === source,
    )
    // Of two sources that use one UUID, the row under the UUID itself is meant.
    const landed = found.find(({ event }) => event.eventId === eventIds[0]) ?? found[0] ?? null
    const { deadLetters } = await store.listDeadLetters({ eventIds, limit: maxDeathsShown })
    const ofSource = source ?? landed?.event.source ?? deadLetters[0]?.source
    const letters = await this.#readAll(deadLetters.filter((letter) => letter.source === ofSource))
    return journeyOf(landed, letters) ?? (await this.#notFound(id))
  }

  listDeadLetters(query: DeadLetterQuery): Promise<DeadLetterPage> {
    checkFilter(query)
    return this.#options.store.listDeadLetters(query)
  }

  groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]> {
    checkFilter(filter)
    return this.#options.store.groupDeadLetters(filter)
  }

  async getDeadLetter(deadLetterId: string): Promise<DeadLetterDetail> {
    checkFilter({ deadLetterIds: [deadLetterId] })
    const found = await this.#options.store.readDeadLetter(deadLetterId)
    if (found === null) throw new MillraceError('not_found', `there is no dead letter ${deadLetterId}`)
    const { event: bytes, ...letter } = found
    const event = eventOf(found)
    return { letter, event, damagedBytes: event === null ? bytes : null }
  }

  async redriveDeadLetters(request: RedriveRequest, options: WorkOptions = {}): Promise<RedriveAnswer> {
    checkFilter(request.filter)
    return await this.#redriver.redrive(request, options)
  }

  async deleteDeadLetters(filter: DeadLetterFilter, isDryRun: boolean): Promise<DeleteAnswer> {
    const { store, monotonicNow } = this.#options
    checkFilter(filter)
    if (Object.values(filter).every((condition) => condition === undefined)) {
      const problem = 'filter has no condition: name at least one, so that nobody deletes all dead letters by mistake'
      throw new MillraceError('invalid_event', problem, { field: 'filter' })
    }
    const matched = await store.countDeadLetters(filter)
    const untilMs = monotonicNow() + maxWorkMs
    let deleted = 0
    while (!isDryRun && monotonicNow() < untilMs) {
      const { deadLetters } = await store.listDeadLetters({ ...filter, limit: maxDeadLetterIds })
      if (deadLetters.length === 0) break
      deleted += await store.deleteDeadLetters(deadLetters.map(({ deadLetterId }) => deadLetterId))
    }
    return { matched, deleted }
  }

  replay(request: ReplayRequest, options: WorkOptions = {}): Promise<ReplayAnswer> {
    return this.#replayer.replay(request, options)
  }

  async #readAll(summaries: DeadLetterPage['deadLetters']): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = []
    for (const { deadLetterId } of summaries) {
      const letter = await this.#options.store.readDeadLetter(deadLetterId)
      if (letter !== null) letters.push(letter)
    }
    return letters
  }

  /** Nothing finds an event in the log by its id: whether it is among those that wait is not known. */
  async #notFound(id: string): Promise<never> {
    const { topics } = await this.#options.eventLog.describe()
    const waiting = topics.flatMap(({ groups }) => groups).reduce((sum, group) => sum + group.waiting, 0)
    const perhaps =
      waiting === 0 ? 'and none is waiting' : `but ${waiting} events are waiting, and it may be one of them: ask again`
    const shown = JSON.stringify(id.slice(0, 80))
    throw new MillraceError('not_found', `no event ${shown} has landed or died, ${perhaps}`, { field: 'id' })
  }
}

/** The keys under which an event of this name has its row or its dead letters, the likelier one first. */
function rowKeysOf(id: string, source: string | undefined): string[] {
  const first = uuidFromBytes(eventIdOf(source ?? defaultSource, id))
  return isUuid(id) && source !== undefined ? [first, uuidFromBytes(uuidOfSourceAndId(source, first))] : [first]
}

/** The databases would refuse it in words of their own. */
function checkFilter({ deadLetterIds = [], sinceMicros, untilMicros }: DeadLetterFilter): void {
  const fail = (field: string, problem: string) => new MillraceError('invalid_event', problem, { field })
  if (deadLetterIds.length > maxDeadLetterIds) {
    throw fail('dead_letter_ids', `${deadLetterIds.length} ids are given; at most ${maxDeadLetterIds} are possible`)
  }
  const wrong = deadLetterIds.find((id) => !isUuid(id))
  if (wrong !== undefined) {
    throw fail('dead_letter_id', `${JSON.stringify(wrong.slice(0, 80))} is no id of a dead letter: those are UUIDs`)
  }
  for (const [field, micros] of [
    ['since', sinceMicros],
    ['until', untilMicros],
  ] as const) {
    if (micros !== undefined && !Number.isSafeInteger(micros)) throw fail(field, `${field} is out of range`)
  }
}
