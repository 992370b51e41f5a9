// NDJSON of any length: one event per line, published while the rest is still on its way.
//
// Job: gather lines into messages (one at once while none is unanswered, full ones under load), stop reading while too
// many are unanswered, and add up what became of the lines.
// Not its job: reading an event (plain-event.ts), the bytes of the body (body-chunks.ts).

import { type MillraceError, toMillraceError } from '../../errors.ts'
import type { Durability } from '../../event/durability.ts'
import { limits } from '../../event/event.ts'
import { type JsonText, skipJsonSpace } from '../../lib/json/json-text.ts'
import type { PublishVerdict, Rejection } from '../../pipeline/pipeline.ts'
import type { BodyChunks } from './body-chunks.ts'
import { type Draft, EventDrafts, verdictOnDraft } from './event-drafts.ts'
import { JsonMembers } from './json-members.ts'
import { LineSplitter } from './line-splitter.ts'
import { PlainEventReader } from './plain-event.ts'

const maxLineBytes = 2 * 1024 * 1024
const maxUnansweredMessages = 8
const maxListedRejections = 1000
const openObject = 0x7b

type Publish = (message: Uint8Array) => Promise<PublishVerdict>

export interface LineParts {
  readonly publish: Publish
  /** Used for one line at a time. */
  readonly text: JsonText
}

/** What became of the lines. A rejection's index is the number of its line, from 0. */
export interface LinesVerdict {
  readonly accepted: number
  readonly dropped: number
  readonly rejected: number
  /** At most 1,000. */
  readonly rejections: readonly Rejection[]
  readonly durability: Durability | null
  /** Why the rest was not taken: lines that are in none of the counts are unknown. */
  readonly failure: MillraceError | null
}

/** @param maxIdleMs how long nothing of the body may come. */
export async function publishLines(chunks: BodyChunks, maxIdleMs: number, parts: LineParts): Promise<LinesVerdict> {
  const lines = new LinePublisher(parts, () => chunks.stop())
  const splitter = new LineSplitter(maxLineBytes)
  const onLine = (line: Buffer | null) => lines.add(line)
  try {
    for (;;) {
      const chunk = await chunks.next(maxIdleMs)
      if (chunk === null) break
      splitter.push(chunk, onLine)
      await lines.room()
    }
    lines.addUnended(splitter.finish())
  } catch (error) {
    lines.fail(toMillraceError(error))
  }
  return lines.finish()
}

class LinePublisher {
  readonly #publish: Publish
  readonly #onFailure: () => void
  readonly #drafts = new EventDrafts()
  readonly #text: JsonText
  readonly #members: JsonMembers
  readonly #reader = new PlainEventReader()
  #line = 0

  #hasSent = false
  #unanswered = 0
  /** Resolved at the next answer. */
  #answered = Promise.withResolvers<void>()
  #failure: MillraceError | null = null

  #accepted = 0
  #dropped = 0
  #rejected = 0
  #durability: Durability | null = null
  readonly #rejections: Rejection[] = []

  constructor({ publish, text }: LineParts, onFailure: () => void) {
    this.#publish = publish
    this.#text = text
    this.#members = new JsonMembers(text)
    this.#onFailure = onFailure
  }

  /** Null: a line that was too long. An empty line has a number too, but no event. */
  add(line: Buffer | null): void {
    const place = this.#line++
    if (line === null) {
      this.#drafts.refuse(place, '', `line ${place} is longer than ${maxLineBytes} bytes`, 'event_too_large')
    } else {
      this.#read(line, place, '')
    }
    if (this.#drafts.count >= limits.maxEntryEvents || this.#drafts.byteLength >= limits.maxEntryBytes) this.#send()
  }

  /** What stands behind the last line end: a whole event, or half of one. */
  addUnended(rest: Buffer | null): void {
    if (rest === null) this.add(null)
    else this.#read(rest, this.#line, ', and no line end follows: the body breaks off in the middle of it')
  }

  /** Sends what was gathered, if it would wait for nothing. Resolves when there is room for more. */
  async room(): Promise<void> {
    if (this.#unanswered === 0 && !this.#drafts.isEmpty) this.#send()
    while (this.#unanswered >= maxUnansweredMessages && this.#failure === null) await this.#answered.promise
  }

  /** Nothing more is sent. */
  fail(failure: MillraceError): void {
    this.#failure ??= failure
    this.#onFailure()
  }

  /** Sends what is left, and resolves when everything is answered. */
  async finish(): Promise<LinesVerdict> {
    // Even a body without lines is asked about: whether the topic is there, and what is durable.
    if (!this.#drafts.isEmpty || !this.#hasSent) this.#send()
    while (this.#unanswered > 0) await this.#answered.promise
    const rejections = this.#rejections.sort((a, b) => a.index - b.index)
    return {
      accepted: this.#accepted,
      dropped: this.#dropped,
      rejected: this.#rejected,
      rejections,
      durability: this.#durability,
      failure: this.#failure,
    }
  }

  #read(line: Buffer, place: number, whereBroken: string): void {
    const start = skipJsonSpace(line, 0, line.length)
    if (start === line.length) return
    if (line[start] !== openObject) {
      this.#drafts.refuse(place, '', `line ${place} must be one JSON object${whereBroken}`)
      return
    }
    this.#text.load(line)
    const event = this.#reader.read(this.#members.reset(start, line.length))
    const { brokenAt, end } = this.#members
    const restAt = brokenAt >= 0 ? brokenAt : skipJsonSpace(line, end, line.length)
    if (restAt < line.length || brokenAt >= 0) {
      const { id } = this.#reader
      this.#drafts.refuse(place, id, `line ${place} is not one JSON object (at byte ${restAt})${whereBroken}`)
    } else if (event === null) {
      this.#drafts.refuse(place, this.#reader.id, this.#reader.fault)
    } else {
      this.#drafts.add(place, event)
    }
  }

  #send(): void {
    if (this.#failure !== null) return
    const draft = this.#drafts.take()
    this.#hasSent = true
    this.#unanswered++
    this.#publish(draft.message).then(
      (verdict) => {
        this.#durability = verdict.durability
        this.#count(verdictOnDraft(draft, verdict))
        this.#noteAnswer()
      },
      (error: unknown) => {
        this.#count(nothingBut(draft))
        this.fail(toMillraceError(error))
        this.#noteAnswer()
      },
    )
  }

  #count({ accepted, dropped, rejections }: Pick<PublishVerdict, 'accepted' | 'dropped' | 'rejections'>): void {
    this.#accepted += accepted
    this.#dropped += dropped
    this.#rejected += rejections.length
    for (const rejection of rejections) {
      if (this.#rejections.length < maxListedRejections) this.#rejections.push(rejection)
    }
  }

  #noteAnswer(): void {
    this.#unanswered--
    // What was gathered meanwhile goes now, full or not.
    if (this.#unanswered === 0 && !this.#drafts.isEmpty) this.#send()
    this.#answered.resolve()
    this.#answered = Promise.withResolvers()
  }
}

/** Of a message whose outcome is unknown only this is known: what had been refused before it was sent. */
function nothingBut({ rejections }: Draft): Pick<PublishVerdict, 'accepted' | 'dropped' | 'rejections'> {
  return { accepted: 0, dropped: 0, rejections }
}
