// Sends the events of dead letters to their groups again.
//
// A few at a time, and each few are watched: when one of them fails again, or nobody can tell what became of them, it stops.
// The order is reopen, then note: a crash between the two leaves a letter that can be redriven once more, under the same
// number, and the event has its row all the same at most once.

import type { RedriveAnswer, RedriveRequest, WorkOptions } from '../administration.ts'
import { MillraceError } from '../errors.ts'
import { batchOfOne, receivedAtOf, withAttribute, withData, withoutReceivedAt } from '../event-edit.ts'
import type { EventLog, Reopened, StreamName } from '../event-log/event-log.ts'
import { parsePosition } from '../event-log/position-text.ts'
import { sleep } from '../lib/abort.ts'
import { MessageScanner } from '../message-scan.ts'
import type { DeadLetter, DeadLetterFilter, DeadLetterSummary } from '../store/dead-letter.ts'
import type { EventStore } from '../store/event-store.ts'
import { redriveAttribute } from '../workers/dead-letter-event.ts'
import { isDamaged, rowKeysOf } from './dead-letter-content.ts'
import { PacedWork } from './paced-work.ts'

/** What is risked before anything is known, and after the first have gone well. */
const firstStep = 10
const maxStep = 100

/** How long what was sent may take to land or to fail again. */
const maxOutcomeMs = 5000
const lookMs = 25

export interface RedriverOptions {
  readonly eventLog: EventLog
  readonly store: EventStore
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
}

export class Redriver {
  readonly #options: RedriverOptions

  constructor(options: RedriverOptions) {
    this.#options = options
  }

  /** See Administration. */
  async redrive(request: RedriveRequest, { signal }: WorkOptions): Promise<RedriveAnswer> {
    const { store, monotonicNow } = this.#options
    const work = new PacedWork({ rate: request.rate, monotonicNow, signal })
    const filter = filterOf(request)
    const matched = await store.countDeadLetters(filter)
    await this.#refuseMissing(request.filter, matched)
    const answer = { matched, redriven: 0, skipped: 0, failedAgain: 0 }
    if (request.isDryRun) return { ...answer, stopped: null, nextCursor: null }
    let cursor = request.cursor ?? null
    let limit = cursor === null ? firstStep : maxStep
    do {
      const page = await store.listDeadLetters({
        ...filter,
        limit: Math.min(limit, work.maxStep),
        cursor: cursor ?? undefined,
      })
      const letters = page.deadLetters.filter((letter) => !isDamaged(letter))
      answer.skipped += page.deadLetters.length - letters.length
      const sentAtMicros = this.#options.now() * 1000
      await this.#send(letters, request)
      answer.redriven += letters.length
      await work.sent(letters.length)
      const stopped = await this.#watch(letters, sentAtMicros)
      if (stopped !== null) return { ...answer, ...stopped, nextCursor: null }
      cursor = page.nextCursor
      limit = maxStep
    } while (cursor !== null && !work.isOver)
    return { ...answer, stopped: null, nextCursor: cursor }
  }

  /** Somebody who names a letter has to know that there is none. */
  async #refuseMissing({ deadLetterIds = [] }: DeadLetterFilter, matched: number): Promise<void> {
    if (matched >= deadLetterIds.length) return
    const { deadLetters } = await this.#options.store.listDeadLetters({ deadLetterIds, limit: 1000 })
    const there = new Set(deadLetters.map(({ deadLetterId }) => deadLetterId))
    const missing = deadLetterIds.find((id) => !there.has(id.toLowerCase()))
    if (missing !== undefined) throw new MillraceError('not_found', `there is no dead letter ${missing}`)
  }

  async #send(letters: readonly DeadLetterSummary[], { edit }: RedriveRequest): Promise<void> {
    const { eventLog, store, now } = this.#options
    for (const { deadLetterId } of letters) {
      const letter = await store.readDeadLetter(deadLetterId)
      // Somebody has just deleted it.
      if (letter === null) continue
      const { stream, reopened } = toReopened(letter, edit)
      await eventLog.reopen(stream, letter.group, [reopened])
      await store.noteRedriven([deadLetterId], now() * 1000)
    }
  }

  /** Waits until the letters' events have landed or died again; why that is a reason to stop, or null. */
  async #watch(
    letters: readonly DeadLetterSummary[],
    sentAtMicros: number,
  ): Promise<{ readonly stopped: string; readonly failedAgain: number } | null> {
    const { monotonicNow } = this.#options
    const untilMs = monotonicNow() + maxOutcomeMs
    for (;;) {
      const again = await this.#failedAgain(letters, sentAtMicros)
      const landed = await this.#landed(letters)
      const isOpen = ({ eventId }: DeadLetterSummary) => !landed.has(eventId) && !again.has(eventId)
      const open = letters.filter(isOpen).length
      const isOver = monotonicNow() >= untilMs
      if (open > 0 && !isOver) {
        await sleep(lookMs)
        continue
      }
      if (again.size === 0 && open === 0) return null
      const [message] = again.values()
      const failed = message === undefined ? '' : `${again.size} of ${letters.length} events failed again: ${message}`
      const unknown = `what became of ${open} of ${letters.length} events is not known yet: see the status, then redrive the rest`
      return {
        stopped: [failed, open === 0 ? '' : unknown].filter((text) => text !== '').join('; '),
        failedAgain: again.size,
      }
    }
  }

  /** Events of the letters that have died since, with the message of their death. */
  async #failedAgain(
    letters: readonly DeadLetterSummary[],
    sentAtMicros: number,
  ): Promise<ReadonlyMap<string | null, string>> {
    const eventIds = letters.flatMap(({ eventId }) => eventId ?? [])
    const query = { eventIds, sinceMicros: sentAtMicros, isRedriven: false, limit: 1000 }
    const { deadLetters } = await this.#options.store.listDeadLetters(query)
    return new Map(deadLetters.map(({ eventId, message }) => [eventId, message]))
  }

  /** Events of the letters that have their row. */
  async #landed(letters: readonly DeadLetterSummary[]): Promise<ReadonlySet<string | null>> {
    const found = await this.#options.store.findEvents(letters.flatMap(rowKeysOf))
    const names = new Set(found.map(({ event }) => `${event.eventId} ${event.source}`))
    const hasRow = (letter: DeadLetterSummary) => rowKeysOf(letter).some((key) => names.has(`${key} ${letter.source}`))
    return new Set(letters.filter(hasRow).map(({ eventId }) => eventId))
  }
}

function filterOf({ filter, edit }: RedriveRequest): DeadLetterFilter {
  if (edit !== undefined && filter.deadLetterIds?.length !== 1) {
    const problem = 'only one dead letter can be edited: name it by its id'
    throw new MillraceError('invalid_event', problem, { field: 'data' })
  }
  return filter.deadLetterIds === undefined ? { ...filter, isRedriven: filter.isRedriven ?? false } : filter
}

/** The event as its group gets it once more: with its id and time, and how often it was sent again. */
function toReopened(
  letter: DeadLetter,
  edit: RedriveRequest['edit'],
): { readonly stream: StreamName; readonly reopened: Reopened } {
  const position = parsePosition(letter.history.at(-1)?.position ?? '')
  if (position === null) {
    throw new MillraceError('failed_precondition', `dead letter ${letter.deadLetterId} does not tell where it stood`)
  }
  const receivedAtMicros = receivedAtOf(letter.event) ?? letter.deadAtMicros
  let event = withAttribute(withoutReceivedAt(letter.event), redriveAttribute, String(letter.redrives + 1))
  if (edit !== undefined) event = edited(event, edit)
  const batch = { bytes: batchOfOne(event), count: 1, receivedAtMicros }
  return { stream: position.stream, reopened: { batch, attempt: 0, offset: position.offset } }
}

/** Throws what a producer of the edited event would be told. */
function edited(event: Uint8Array, { data, contentType }: NonNullable<RedriveRequest['edit']>): Uint8Array {
  const changed = withData(event, data, contentType)
  const [refusal] = new MessageScanner().scan(batchOfOne(changed)).refusals
  if (refusal !== undefined) throw new MillraceError(refusal.code, refusal.message, { field: 'data' })
  return changed
}
