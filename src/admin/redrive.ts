// Redrives dead letters: sends their events to their groups again.
//
// It works in steps, oldest letters first: 10 letters, then 100, then up to 1,000, each after the outcome of the step
// before; only steps of full size overlap by one, and at full speed the letters of the next one are read meanwhile. It
// stops when an event fails again or an outcome stays unknown. An event that failed again has the newest letter, so the
// next redrive reaches it last. A letter is marked as redriven after its event is reopened: a crash between the two
// leaves a letter that can be redriven once more, under the same number of redrives, and the event still has at most one
// row.

import { MillraceError, toMillraceError } from '../errors.ts'
import { batchOfOne, receivedAtOf, withAttribute, withData, withoutReceivedAt } from '../event/event-edit.ts'
import { MessageScanner } from '../event/message-scan.ts'
import { decodeOneEvent } from '../event/record-batch.ts'
import { deadlineAttribute, requestTypeOf } from '../event/request.ts'
import { maxReopenedBatches, type Reopened, type StreamName } from '../event-log/event-log.ts'
import { parsePosition } from '../event-log/position-text.ts'
import { sleep } from '../lib/abort.ts'
import type { RedriveAnswer, RedriveRequest, WorkOptions } from '../pipeline/administration.ts'
import type { DeadLetterFilter, DeadLetterSummary } from '../pipeline/dead-letters.ts'
import type { DeadLetter, StoredDeadLetterQuery } from '../store/dead-letter.ts'
import { maxRedrives, redriveAttribute } from '../workers/dead-letter-event.ts'
import type { AdminParts } from './admin-parts.ts'
import { isDamaged, secondRowKeyOf } from './dead-letter-content.ts'
import { refuseMissing } from './filter.ts'
import { PacedWork } from './paced-work.ts'

/** Letters in the first step, before any outcome is known, and at most in a later one, which is up to ten times as large. */
const firstStep = 10
const stepGrowth = 10
const maxStep = maxReopenedBatches
/** At a low rate steps are smaller, so that the rate is even. */
const minStepsPerSecond = 5

/** How long a redriven event may take to land or to fail again. */
const maxOutcomeMs = 5000
const firstPollMs = 10
const pollGrowth = 1.5
const longestPollMs = 250

/** The letters of one step. */
interface Page {
  readonly ids: readonly string[]
  /** The first of them that were not deleted, up to the bytes of one read. */
  readonly first: Promise<readonly DeadLetter[]>
  readonly nextCursor: string | null
}

/** The result of sending the letters of one step. */
interface Step {
  readonly sent: readonly DeadLetterSummary[]
  /** Letters that cannot be redriven. */
  readonly skipped: number
  /** Why nothing more can be sent now; null when it can. */
  readonly stopped: string | null
}

export class Redriver {
  readonly #parts: AdminParts

  constructor(parts: AdminParts) {
    this.#parts = parts
  }

  /** See Administration. */
  async redrive(request: RedriveRequest, { signal }: WorkOptions): Promise<RedriveAnswer> {
    const { store, monotonicNow, now } = this.#parts
    const work = new PacedWork({ rate: request.rate, monotonicNow, signal })
    const filter = filterOf(request, now() * 1000)
    const matched = await store.countDeadLetters(filter)
    await refuseMissing(store, request.filter)
    const answer = { matched, redriven: 0, skipped: 0, failedAgain: 0 }
    if (request.isDryRun) return { ...answer, stopped: null, nextCursor: null }
    const reasons: string[] = []
    const note = (reason: string | null) => reason !== null && reasons.push(reason)
    let outcome: Promise<void> = Promise.resolve()
    let cursor = request.cursor
    const largest = Math.min(maxStep, Math.ceil(request.rate / minStepsPerSecond))
    let limit = Math.min(cursor === undefined ? firstStep : maxStep, largest)
    let ahead: Promise<Page> | null = null
    do {
      const page: Page = await (ahead ?? this.#read({ ...filter, limit, isOldestFirst: true, cursor }))
      cursor = page.nextCursor ?? undefined
      ahead = null
      // At full speed the next letters are read while these are appended. At a low rate they would be old by then.
      if (limit === maxStep && cursor !== undefined) {
        ahead = this.#read({ ...filter, limit, isOldestFirst: true, cursor })
        // Awaited in the next step, if there is one; until then it must not count as unhandled.
        ahead.catch(() => {})
      }
      const sentAtMicros = now() * 1000
      const step = await this.#send(page, request)
      note(step.stopped)
      answer.skipped += step.skipped
      answer.redriven += step.sent.length
      await outcome
      outcome = this.#watch(step.sent, sentAtMicros).then(({ stopped, failedAgain }) => {
        answer.failedAgain += failedAgain
        note(stopped)
      })
      // Awaited below; until then it must not count as unhandled.
      outcome.catch(() => {})
      await work.sent(step.sent.length)
      // Steps of full size follow each other while the one before lands.
      if (limit < largest) await outcome
      limit = Math.min(limit * stepGrowth, largest)
    } while (cursor !== undefined && reasons.length === 0 && !work.isOver)
    await outcome
    if (reasons.length > 0) return { ...answer, stopped: reasons.join('; '), nextCursor: null }
    return { ...answer, stopped: null, nextCursor: cursor ?? null }
  }

  async #read(query: StoredDeadLetterQuery): Promise<Page> {
    const { store } = this.#parts
    const { deadLetters, nextCursor } = await store.listDeadLetters(query)
    const ids = deadLetters.map(({ deadLetterId }) => deadLetterId)
    const first = store.readDeadLetters(ids)
    // Awaited when they are sent.
    first.catch(() => {})
    return { ids, first, nextCursor }
  }

  async #send(page: Page, { edit, filter }: RedriveRequest): Promise<Step> {
    const { store, now } = this.#parts
    const sent: DeadLetterSummary[] = []
    let skipped = 0
    // A letter that is named by id has its error reported; other filters skip letters that cannot be redriven.
    const skip = (error: MillraceError, count: number) => {
      const canBeSkipped = error.code === 'not_found' || error.code === 'failed_precondition'
      if (filter.deadLetterIds !== undefined || !canBeSkipped) throw error
      skipped += count
    }
    try {
      let { ids } = page
      // Letters that were deleted meanwhile are left out.
      for (
        let read = await page.first;
        read.length > 0;
        read = ids.length === 0 ? [] : await store.readDeadLetters(ids)
      ) {
        ids = ids.slice(ids.indexOf(read.at(-1)!.deadLetterId) + 1)
        for (const group of groupsOf(read, edit, now(), (error) => skip(error, 1))) {
          const sentBefore = sent.length
          try {
            await this.#reopen(group, sent)
          } catch (thrown) {
            const error = toMillraceError(thrown)
            if (error.retryable) throw error
            // Their events are sent, and letters that cannot be marked would be sent again.
            if (sent.length > sentBefore) return { sent, skipped, stopped: error.message }
            skip(error, group.letters.length)
          }
        }
      }
    } catch (thrown) {
      const error = toMillraceError(thrown)
      if (!error.retryable) throw error
      return { sent, skipped, stopped: error.message }
    }
    return { sent, skipped, stopped: null }
  }

  async #reopen({ stream, group, letters, reopened }: ReopenedGroup, sent: DeadLetterSummary[]): Promise<void> {
    const { eventLog, store, now } = this.#parts
    await eventLog.reopen(stream, group, reopened)
    sent.push(...letters)
    await store.noteRedriven(
      letters.map(({ deadLetterId }) => deadLetterId),
      now() * 1000,
    )
  }

  /** Waits until the letters' events have landed or failed again, and returns the reason to stop, if there is one. */
  async #watch(
    letters: readonly DeadLetterSummary[],
    sentAtMicros: number,
  ): Promise<{ readonly stopped: string | null; readonly failedAgain: number }> {
    const { monotonicNow } = this.#parts
    const untilMs = monotonicNow() + maxOutcomeMs
    const failures = new Map<string, string>()
    let open = letters
    for (
      let pollMs = firstPollMs;
      open.length > 0 && monotonicNow() < untilMs;
      pollMs = Math.min(pollGrowth * pollMs, longestPollMs)
    ) {
      await sleep(pollMs)
      try {
        const landed = await this.#landed(open)
        open = open.filter(({ deadLetterId }) => !landed.has(deadLetterId))
        for (const [id, message] of await this.#failedAgain(open, sentAtMicros)) failures.set(id, message)
        open = open.filter(({ deadLetterId }) => !failures.has(deadLetterId))
      } catch (thrown) {
        // While the database is unreachable the outcome stays unknown, which is reported below.
        if (!toMillraceError(thrown).retryable) throw thrown
      }
    }
    const [message] = failures.values()
    const reasons = [
      message === undefined ? '' : `${failures.size} of ${letters.length} events failed again: ${message}`,
      open.length === 0
        ? ''
        : `the outcome of ${open.length} of ${letters.length} events is not known yet: check the status, then redrive the rest`,
    ].filter((reason) => reason !== '')
    return { stopped: reasons.length === 0 ? null : reasons.join('; '), failedAgain: failures.size }
  }

  /** The letters whose events have become dead letters again, with the new message. */
  async #failedAgain(letters: readonly DeadLetterSummary[], sentAtMicros: number): Promise<Map<string, string>> {
    const eventIds = letters.flatMap(({ eventId }) => eventId ?? [])
    if (eventIds.length === 0) return new Map()
    const query = { eventIds, sinceMicros: sentAtMicros, isRedriven: false, limit: 1000 }
    const { deadLetters } = await this.#parts.store.listDeadLetters(query)
    const messages = new Map<string | null, string>(deadLetters.map(({ eventId, message }) => [eventId, message]))
    return new Map(
      letters.flatMap(({ deadLetterId, eventId }) => {
        const message = messages.get(eventId)
        return message === undefined ? [] : [[deadLetterId, message] as const]
      }),
    )
  }

  /** The letters whose events have a row. */
  async #landed(letters: readonly DeadLetterSummary[]): Promise<ReadonlySet<string>> {
    const { landed, others } = await this.#withRows(letters, ({ eventId }) => eventId)
    // The second key is used when another source has used the same UUID.
    const second = others.length === 0 ? null : await this.#withRows(others, secondRowKeyOf)
    return new Set([...landed, ...(second?.landed ?? [])])
  }

  /** The letters whose events have rows with these keys, and those whose rows are of other sources. */
  async #withRows(
    letters: readonly DeadLetterSummary[],
    keyOf: (letter: DeadLetterSummary) => string | null,
  ): Promise<{ readonly landed: string[]; readonly others: DeadLetterSummary[] }> {
    const rows = await this.#parts.store.findRows(letters.flatMap((letter) => keyOf(letter) ?? []))
    const sources = new Map<string | null, string>(rows.map(({ eventId, source }) => [eventId, source]))
    const found = letters.filter((letter) => sources.has(keyOf(letter)))
    const isOwn = (letter: DeadLetterSummary) => sources.get(keyOf(letter)) === letter.source
    return {
      landed: found.filter(isOwn).map(({ deadLetterId }) => deadLetterId),
      others: found.filter((letter) => !isOwn(letter)),
    }
  }
}

/**
 * Limits the filter to letters that are older than the redrive and, unless it sets `isRedriven`, were not redriven yet.
 */
function filterOf({ filter, edit }: RedriveRequest, nowMicros: number): DeadLetterFilter {
  const { deadLetterIds, untilMicros, isRedriven } = filter
  if (edit !== undefined && deadLetterIds?.length !== 1) {
    const problem = 'data can replace that of one dead letter only: give exactly one id in dead_letter_ids'
    throw new MillraceError('invalid_event', problem, { field: 'data' })
  }
  if (deadLetterIds !== undefined) return filter
  const until = Math.min(untilMicros ?? Number.POSITIVE_INFINITY, nowMicros)
  return { ...filter, untilMicros: until, isRedriven: isRedriven ?? false }
}

/** Letters of one stream and group, which are reopened in one step. */
interface ReopenedGroup {
  readonly stream: StreamName
  readonly group: string
  readonly letters: DeadLetterSummary[]
  readonly reopened: Reopened[]
}

/** @param refuse called with the error of a letter that cannot be redriven; it is left out. */
function groupsOf(
  letters: readonly DeadLetter[],
  edit: RedriveRequest['edit'],
  nowMs: number,
  refuse: (error: MillraceError) => void,
): Iterable<ReopenedGroup> {
  const groups = new Map<string, ReopenedGroup>()
  for (const letter of letters) {
    try {
      const { stream, reopened } = toReopened(letter, edit, nowMs)
      const name = JSON.stringify([stream, letter.group])
      const group = groups.get(name) ?? { stream, group: letter.group, letters: [], reopened: [] }
      group.letters.push(letter)
      group.reopened.push(reopened)
      groups.set(name, group)
    } catch (thrown) {
      refuse(toMillraceError(thrown))
    }
  }
  return groups.values()
}

/** The event as it is sent to its group again: with its id and time, and the number of redrives as an attribute. */
function toReopened(
  letter: DeadLetter,
  edit: RedriveRequest['edit'],
  nowMs: number,
): { readonly stream: StreamName; readonly reopened: Reopened } {
  const { deadLetterId, redrives } = letter
  if (isDamaged(letter)) {
    const problem = `dead letter ${deadLetterId} is damaged: it has no event that could be redriven`
    throw new MillraceError('failed_precondition', problem)
  }
  const position = parsePosition(letter.history.at(-1)?.position ?? '')
  if (position === null) {
    throw new MillraceError('failed_precondition', `dead letter ${deadLetterId} has no valid position in its history`)
  }
  if (isLateRequest(letter, nowMs)) {
    const problem = `dead letter ${deadLetterId} is a request past its deadline, which workers skip`
    throw new MillraceError('failed_precondition', `${problem}: send it again with an id of its own`)
  }
  const receivedAtMicros = receivedAtOf(letter.event) ?? letter.deadAtMicros
  const bare = withoutReceivedAt(letter.event)
  const event = edit === undefined ? bare : edited(bare, edit)
  const numbered = withAttribute(event, redriveAttribute, String(Math.min(redrives + 1, maxRedrives)))
  const batch = { bytes: batchOfOne(numbered), count: 1, receivedAtMicros }
  return { stream: position.stream, reopened: { batch, attempt: 0, offset: position.offset } }
}

function isLateRequest({ topic, event }: DeadLetter, nowMs: number): boolean {
  if (requestTypeOf(topic) === null) return false
  return nowMs > Number(decodeOneEvent(event).attributes.get(deadlineAttribute) ?? Number.POSITIVE_INFINITY)
}

/** Throws the error that a producer would get for the edited event. */
function edited(event: Uint8Array, { data, contentType }: NonNullable<RedriveRequest['edit']>): Uint8Array {
  const changed = withData(event, data, contentType)
  const [refusal] = new MessageScanner().scan(batchOfOne(changed)).refusals
  if (refusal !== undefined) throw new MillraceError(refusal.code, refusal.message, { field: 'data' })
  return changed
}
