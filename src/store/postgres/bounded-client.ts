// A connection that ends when the server announces a message beyond a bound. node-postgres would collect any message in
// memory and convert it to strings; one that is too long for a string throws where no code can catch it.

import { Client, type ClientConfig } from 'pg'
import { MillraceError } from '../../errors.ts'

/** Far beyond any row that Millrace asks for. */
const maxAnswerBytes = 64 * 1024 * 1024

/** A message is one byte for its type and four for its length, which counts itself. */
const headerBytes = 5

/** The part of node-postgres's connection that is used here; its types leave it out. */
interface Connection {
  attachListeners(stream: AnswerStream): void
}

interface AnswerStream {
  on(event: 'data', listener: (chunk: Buffer) => void): void
  destroy(error: Error): void
}

export class AnswerTooLong extends MillraceError {
  constructor(bytes: number) {
    const problem = `an answer of postgres has ${bytes} bytes; the limit is ${maxAnswerBytes}: look for a huge row`
    super('failed_precondition', problem)
  }
}

export class BoundedClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(config)
    const { connection } = this as unknown as { readonly connection: Connection }
    // Called with the encrypted stream too, once it can be read.
    const attachListeners = connection.attachListeners.bind(connection)
    connection.attachListeners = (stream) => {
      const walk = new MessageWalk()
      // Registered before the parser, which otherwise would see the message first.
      stream.on('data', (chunk) => {
        const bytes = walk.longest(chunk)
        if (bytes <= maxAnswerBytes) return
        stream.destroy(new AnswerTooLong(bytes))
      })
      attachListeners(stream)
    }
  }
}

/** Follows the messages of a stream by their headers. */
class MessageWalk {
  readonly #header = Buffer.alloc(headerBytes)
  #headerLength = 0
  /** What is still to come of the current message. */
  #rest = 0

  /** The length of the longest message that begins in this chunk; 0 if none does. */
  longest(chunk: Buffer): number {
    let longest = 0
    for (let at = 0; at < chunk.length; ) {
      if (this.#rest > 0) {
        const skipped = Math.min(this.#rest, chunk.length - at)
        this.#rest -= skipped
        at += skipped
        continue
      }
      this.#header[this.#headerLength++] = chunk[at++]!
      if (this.#headerLength < headerBytes) continue
      const length = this.#header.readUInt32BE(1)
      this.#headerLength = 0
      this.#rest = Math.max(0, length - 4)
      longest = Math.max(longest, length)
    }
    return longest
  }
}
