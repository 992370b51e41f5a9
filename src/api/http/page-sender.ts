// Answers with a page of a listing in pieces: a piece is read when the client has taken the one before the last. So an
// answer takes little memory and holds up nothing else, however large its page is.

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { toMillraceError } from '../../errors.ts'
import { Slots } from '../../lib/slots.ts'
import { answerInTime } from './answer-in-time.ts'
import type { JsonPieces } from './event-json.ts'
import type { HttpTimes } from './http-times.ts'
import { jsonContentType } from './json-content-type.ts'

export interface PageStep {
  readonly elements: readonly JsonPieces[]
  readonly nextCursor: string | null
}

export interface PageRequest {
  /** The member of the answer that holds the elements. */
  readonly name: string
  readonly limit: number
  readonly cursor: string | undefined
  /** Further members of the answer, behind its cursor. */
  readonly members?: Readonly<Record<string, unknown>>
  /** Reads up to `limit` elements. */
  readonly read: (limit: number, cursor: string | undefined) => Promise<PageStep>
}

/** The default page in one step. A later step is at most twice as large as the one before, so that little is read twice. */
const firstStep = 100

/** A page ends at the step that reaches this size. */
const maxPageBytes = 8 * 1024 * 1024

/** A page whose reads have taken this long ends: with a filter that matches little they are long and bring little. */
const maxReadMs = 1000

/** In characters. */
const minPieceLength = 64 * 1024

/** Each takes memory for two pieces until its client has taken the last one. */
const maxOpenPages = 16

export class PageSender {
  readonly #times: HttpTimes
  readonly #open = new Slots(maxOpenPages)

  constructor(times: HttpTimes) {
    this.#times = times
  }

  /**
   * Waits while too many pages are open. Reads nothing for a client that is gone by then; one that has only ended its
   * side of the connection is answered. Rejects with the error of the first read, or `deadline_exceeded`.
   */
  async send(reply: FastifyReply, { read: readStep, ...page }: PageRequest): Promise<FastifyReply> {
    const { maxAnswerMs, maxIdleMs } = this.#times
    const slot = this.#open.take()
    const close = await answerInTime(slot, maxAnswerMs).catch((thrown) => {
      void slot.then((release) => release())
      throw thrown
    })
    if (reply.raw.closed) {
      close()
      return reply
    }
    let latest: Promise<unknown> = Promise.resolve()
    const read: PageRequest['read'] = (limit, cursor) => {
      const step = readStep(limit, cursor)
      latest = step
      return step
    }
    // A read continues without its client: others would only wait behind it.
    reply.raw.once('close', () => void latest.then(close, close))
    const first = await answerInTime(read(Math.min(page.limit, firstStep), page.cursor), maxAnswerMs)
    reply.raw.setTimeout(maxIdleMs, () => reply.raw.destroy())
    reply.header('content-type', jsonContentType)
    const pieces = piecesOf(first, { ...page, read }, reply.raw, (thrown) => {
      reply.failure = toMillraceError(thrown)
    })
    const isShort = lengthOf(first.elements.flat()) < minPieceLength
    // A short page has a content-length.
    if (first.nextCursor === null && isShort) return reply.send(Buffer.from((await pieces.next()).value ?? ''))
    return reply.send(Readable.from(pieces, { objectMode: false }))
  }
}

/** If a later read fails, the page ends there: its cursor is where to continue. */
async function* piecesOf(
  first: PageStep,
  { name, limit, members = {}, read }: PageRequest,
  raw: ServerResponse,
  onFailure: (thrown: unknown) => void,
): AsyncGenerator<string | Uint8Array, void> {
  let text = `{"${name}":[`
  let [count, length, readMs] = [0, 0, 0]
  for (let step = first; ; ) {
    for (const element of step.elements) {
      if (count++ > 0) text += ','
      length += lengthOf(element)
      for (const piece of element) {
        if (typeof piece === 'string') text += piece
        else {
          yield text
          yield piece
          text = ''
          await flushed(raw)
          if (raw.writableLength === 0) free(piece)
        }
      }
      // Not one text of the whole step: to join large elements costs as much as to send them.
      if (text.length < minPieceLength) continue
      yield text
      text = ''
    }
    const { nextCursor } = step
    const end = `],${JSON.stringify({ next_cursor: nextCursor, ...members }).slice(1)}`
    if (nextCursor === null || count === limit || length >= maxPageBytes || readMs >= maxReadMs) return yield text + end
    const startMs = performance.now()
    const next = await read(Math.min(limit - count, Math.max(1, 2 * step.elements.length)), nextCursor).catch(onFailure)
    if (next === undefined) return yield text + end
    readMs += performance.now() - startMs
    step = next
  }
}

/** In characters, or bytes where it is in bytes. */
function lengthOf(pieces: JsonPieces): number {
  return pieces.reduce((length, piece) => length + piece.length, 0)
}

/** Resolves when the operating system has all that was written, or the connection is closed. */
async function flushed(raw: ServerResponse): Promise<void> {
  if (!raw.writableNeedDrain) return
  const settled = new AbortController()
  const { signal } = settled
  await Promise.race([once(raw, 'drain', { signal }), once(raw, 'close', { signal })])
  settled.abort()
}

/**
 * Frees the memory of data that has been sent. V8 would do so when 64 MiB have gathered: with ten readers of events of
 * 1 MB the process grew by 105 to 120 MiB instead of 40 to 80 (bench, W9).
 */
function free({ buffer, byteLength }: Uint8Array): void {
  // A small Buffer shares its memory with others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
