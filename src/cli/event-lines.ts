// Reads the events of an NDJSON file as a stream: one plain JSON event per line.

import { createReadStream } from 'node:fs'
import { JsonMembers } from '../api/http/json-members.ts'
import { LineSplitter } from '../api/http/line-splitter.ts'
import { PlainEventReader } from '../api/http/plain-event.ts'
import { MillraceError } from '../errors.ts'
import type { EventInput } from '../event/event-input.ts'
import { JsonText, skipJsonSpace } from '../lib/json/json-text.ts'
import { beginsWithByteOrderMark, byteOrderMarkFault } from '../lib/utf8.ts'
import type { EventSource } from './event-source.ts'

/** A longer line is rejected, as over HTTP. */
const maxLineBytes = 2 * 1024 * 1024
const chunkBytes = 256 * 1024
const openObject = 0x7b

export class EventLines implements EventSource {
  readonly #chunks: AsyncIterator<Buffer>
  readonly #maxEvents: number
  readonly #splitter = new LineSplitter(maxLineBytes)
  readonly #reader = new PlainEventReader()
  readonly #text = new JsonText()
  readonly #members = new JsonMembers(this.#text)
  /** Lines of the last chunk in reverse order; null stands for a line that is too long. */
  #lines: { readonly number: number; readonly bytes: Buffer | null }[] = []
  #lineCount = 0
  #isAtEnd = false
  #taken = 0

  /** @param chunks the file's bytes. @param maxEvents reading stops after this many events. */
  constructor(chunks: AsyncIterable<Buffer>, maxEvents: number) {
    this.#chunks = chunks[Symbol.asyncIterator]()
    this.#maxEvents = maxEvents
  }

  /** @param path `-` is stdin. */
  static open(path: string, maxEvents: number): EventLines {
    return new EventLines(path === '-' ? process.stdin : readFile(path), maxEvents)
  }

  /** Throws `invalid_event` with the line number when the line is not a valid event. */
  take(): EventInput | null {
    const line = this.#taken === this.#maxEvents ? undefined : this.#lines.pop()
    if (line === undefined) return null
    this.#taken++
    if (line.bytes === null) throw lineError(line.number, `is longer than ${maxLineBytes} bytes`)
    return this.#parse(line.bytes, line.number)
  }

  async fill(): Promise<boolean> {
    if (this.#taken === this.#maxEvents) return false
    while (this.#lines.length === 0 && !this.#isAtEnd) await this.#readChunk()
    return this.#lines.length > 0
  }

  close(): void {
    // An open pipe would keep the process alive. Errors are ignored, because nothing more is read.
    this.#chunks.return?.().catch(() => {})
  }

  async #readChunk(): Promise<void> {
    const { value, done } = await this.#chunks.next()
    if (done === true) {
      this.#isAtEnd = true
      this.#addLine(this.#splitter.finish())
    } else this.#splitter.push(value, (line) => this.#addLine(line))
    this.#lines.reverse()
  }

  #addLine(bytes: Buffer | null): void {
    const number = ++this.#lineCount
    if (bytes === null || skipJsonSpace(bytes, 0, bytes.length) < bytes.length) this.#lines.push({ number, bytes })
  }

  #parse(bytes: Buffer, lineNumber: number): EventInput {
    const end = bytes.length
    const start = skipJsonSpace(bytes, 0, end)
    if (beginsWithByteOrderMark(bytes, start)) throw lineError(lineNumber, byteOrderMarkFault)
    if (bytes[start] !== openObject) throw lineError(lineNumber, 'is not a JSON object')
    this.#text.load(bytes)
    const members = this.#members.reset(start, end)
    const event = this.#reader.read(members)
    if (members.brokenAt >= 0) throw lineError(lineNumber, `is not valid JSON (at byte ${members.brokenAt})`)
    if (event === null) throw lineError(lineNumber, this.#reader.fault)
    if (skipJsonSpace(bytes, members.end, end) < end) throw lineError(lineNumber, 'has more text after its event')
    return event
  }
}

function lineError(lineNumber: number, what: string): MillraceError {
  return new MillraceError('invalid_event', `line ${lineNumber}: ${what}`)
}

async function* readFile(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path, { highWaterMark: chunkBytes })
  } catch (error) {
    throw new MillraceError('not_found', `cannot read ${path}: ${(error as Error).message}`, {
      field: 'file',
      cause: error,
    })
  }
}
