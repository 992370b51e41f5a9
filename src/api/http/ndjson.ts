// NDJSON bodies of any length: one event per line, published while the rest is still being received.
//
// Job: gather lines into messages (sent at once while none is unanswered, full ones under load), stop reading while too
// many are unanswered, and add up the verdicts on the lines.
// Not its job: reading an event (plain-event.ts), the bytes of the body (body-chunks.ts).

import { MillraceError, toMillraceError } from '../../errors.ts'
import type { Durability } from '../../event/durability.ts'
import { limits } from '../../event/event.ts'
import { type JsonText, skipJsonSpace } from '../../lib/json/json-text.ts'
import { beginsWithByteOrderMark, byteOrderMarkFault } from '../../lib/utf8.ts'
import type { PublishVerdict, Rejection } from '../../pipeline/pipeline.ts'
import { rejectedEvents, runsOf } from '../../pipeline/rejections.ts'
import { CallCounts, countsOf, rejectionsOf } from '../call-counts.ts'
import { graverOf } from '../call-verdict.ts'
import type { OpenCall, OpenCalls } from '../open-calls.ts'
import type { Chunks } from './body-chunks.ts'
import { type Draft, EventDrafts, verdictOnDraft } from './event-drafts.ts'
import { JsonMembers } from './json-members.ts'
import { LineSplitter } from './line-splitter.ts'
import { PlainEventReader } from './plain-event.ts'

const maxLineBytes = 2 * 1024 * 1024
const maxUnansweredMessages = 8
const openObject = 0x7b

type Publish = (message: Uint8Array) => Promise<PublishVerdict>

export interface LineParts {
  readonly publish: Publish
  /** Used for one line at a time. */
  readonly text: JsonText
  readonly openCalls: OpenCalls
}

/** The verdicts on all lines. A rejection's index is the number of its line, counted from 0. */
export interface LinesVerdict {
  readonly accepted: number
  readonly dropped: number
  readonly rejected: number
  /** At most 1,000. */
  readonly rejections: readonly Rejection[]
  readonly durability: Durability | null
  /** Why the body was not read to its end. Its code says what happened to the lines that are in none of the counts. */
  readonly failure: MillraceError | null
}

/** @param maxIdleMs longest pause in the body, in milliseconds. */
export async function publishLines(chunks: Chunks, maxIdleMs: number, parts: LineParts): Promise<LinesVerdict> {
  const lines = new LinePublisher(parts, () => chunks.stop())
  const splitter = new LineSplitter(maxLineBytes)
  const onLine = (line: Buffer | null) => lines.add(line)
  parts.openCalls.add(lines)
  try {
    for (;;) {
      const chunk = await chunks.next(maxIdleMs)
      if (chunk === null) break
      splitter.push(chunk, onLine)
      await lines.room()
    }
    if (!lines.hasFailed) lines.addUnended(splitter.finish())
  } catch (error) {
    lines.fail(toMillraceError(error))
  } finally {
    parts.openCalls.delete(lines)
  }
  return lines.finish()
}

class LinePublisher implements OpenCall {
  readonly #publish: Publish
  readonly #onFailure: () => void
  readonly #drafts = new EventDrafts()
  readonly #text: JsonText
  readonly #members: JsonMembers
  readonly #reader = new PlainEventReader()
  #line = 0

  #hasSent = false
  /** What was sent and is not counted yet, in order. */
  readonly #sent: SentDraft[] = []
  /** Resolved at the next answer. */
  #answered = Promise.withResolvers<void>()
  #failure: MillraceError | null = null

  #durability: Durability | null = null
  readonly #counts = new CallCounts()

  constructor({ publish, text }: LineParts, onFailure: () => void) {
    this.#publish = publish
    this.#text = text
    this.#members = new JsonMembers(text)
    this.#onFailure = onFailure
  }

  get hasFailed(): boolean {
    return this.#failure !== null
  }

  /** Null stands for a line that was too long. An empty line is counted too, but has no event. */
  add(line: Buffer | null): void {
    const number = this.#line++
    if (line === null) {
      this.#drafts.refuse(number, '', `line ${number} is longer than ${maxLineBytes} bytes`, 'event_too_large')
    } else {
      this.#read(line, number, '')
    }
    if (this.#drafts.count >= limits.maxEntryEvents || this.#drafts.byteLength >= limits.maxEntryBytes) this.#send()
  }

  /** Adds the text after the last line end: a whole event, or a truncated one. */
  addUnended(rest: Buffer | null): void {
    if (rest === null) this.add(null)
    else this.#read(rest, this.#line, ' and has no line end: the body was cut off')
  }

  /** Sends what was gathered when no message is unanswered. Resolves when there is room for more. */
  async room(): Promise<void> {
    if (this.#sent.length === 0 && !this.#drafts.isEmpty) this.#send()
    while (this.#sent.length >= maxUnansweredMessages && this.#failure === null) await this.#answered.promise
  }

  /** Stops reading. Lines that were read are still published, unless the failure left an outcome unknown. */
  fail(failure: MillraceError): void {
    this.#failure = graverOf(this.#failure, failure)
    this.#onFailure()
  }

  drain(): void {
    this.fail(new MillraceError('draining', 'the server is stopping: send the rest to another server, or retry later'))
  }

  /** Sends what is left, and resolves when everything is answered. */
  async finish(): Promise<LinesVerdict> {
    // Published even without lines: the pipeline checks the topic and returns the durability.
    if (!this.#drafts.isEmpty || !this.#hasSent) this.#send()
    while (this.#sent.length > 0) await this.#answered.promise
    const { taken, rejections } = this.#counts
    return { ...taken, rejections, durability: this.#durability, failure: this.#failure }
  }

  #read(line: Buffer, number: number, whereBroken: string): void {
    const start = skipJsonSpace(line, 0, line.length)
    if (start === line.length) return
    if (line[start] !== openObject) {
      const fault = beginsWithByteOrderMark(line, start) ? byteOrderMarkFault : `must be one JSON object${whereBroken}`
      this.#drafts.refuse(number, '', `line ${number} ${fault}`)
      return
    }
    this.#text.load(line)
    const event = this.#reader.read(this.#members.reset(start, line.length))
    const { brokenAt, end } = this.#members
    const restAt = brokenAt >= 0 ? brokenAt : skipJsonSpace(line, end, line.length)
    if (restAt < line.length || brokenAt >= 0) {
      const { id } = this.#reader
      this.#drafts.refuse(number, id, `line ${number} is not one JSON object (at byte ${restAt})${whereBroken}`)
    } else if (event === null) {
      this.#drafts.refuse(number, this.#reader.id, this.#reader.fault)
    } else {
      this.#drafts.add(number, event)
    }
  }

  #send(): void {
    if (this.#failure?.outcomeUnknown) return
    const { message, ...rest } = this.#drafts.take()
    const sent: SentDraft = { ...rest, outcome: null }
    this.#hasSent = true
    this.#sent.push(sent)
    this.#publish(message).then(
      (verdict) => {
        this.#durability = verdict.durability
        this.#answer(sent, verdict)
      },
      (error: unknown) => {
        const failure = toMillraceError(error)
        this.fail(failure)
        this.#answer(sent, failure)
      },
    )
  }

  #answer(sent: SentDraft, outcome: PublishVerdict | MillraceError): void {
    sent.outcome = outcome
    while (this.#sent[0]?.outcome) this.#count(this.#sent.shift() as SentDraft)
    // Send what was gathered meanwhile, full or not.
    if (this.#sent.length === 0 && !this.#drafts.isEmpty) this.#send()
    this.#answered.resolve()
    this.#answered = Promise.withResolvers()
  }

  #count(sent: SentDraft): void {
    const { outcome, indexes, rejections } = sent
    if (!(outcome instanceof MillraceError)) {
      this.#counts.add(countsOf(verdictOnDraft(sent, outcome as PublishVerdict)), false)
      return
    }
    // When the outcome is unknown, only the rejections made before the message was sent count.
    const theirs = outcome.outcomeUnknown ? [] : [...rejectionsOf(outcome, runsOf(indexes))]
    const all = [...rejections, ...theirs].sort((a, b) => a.index - b.index)
    const counts = { accepted: 0, dropped: 0, rejected: rejectedEvents(all), rejections: all }
    this.#counts.add(counts, !outcome.outcomeUnknown)
  }
}

/** Its bytes are not kept. */
interface SentDraft extends Omit<Draft, 'message'> {
  /** Null until it is answered. */
  outcome: PublishVerdict | MillraceError | null
}
