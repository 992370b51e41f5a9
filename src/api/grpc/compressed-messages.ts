// The compressed messages of one gRPC call.
//
// Job: inflate them within the limits of HTTP bodies, and one at a time: grpc-js would inflate at once all that a frame holds, of
// which a thousandth of the size is enough.
// Not its job: the order of messages, which grpc-js keeps.

import { MillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import { freeInflatedBytes, InflateError, Inflater, inflaterBytes, maxInflateRatio } from '../../lib/inflater.ts'
import { type InflateBudget, InflateShare } from '../inflate-budget.ts'

/** What every client library of gRPC knows. */
export const messageEncodings = ['gzip', 'deflate'] as const
export type MessageEncoding = (typeof messageEncodings)[number]

/** A flag and the length. */
const prefixBytes = 5
const field = 'grpc-encoding'

export class CompressedMessages {
  readonly #encoding: MessageEncoding
  readonly #share: InflateShare
  /** Fulfilled when the message before was handed on. */
  #turn: Promise<void> = Promise.resolve()
  /** For each message that was not handed on yet, begins the next one. */
  readonly #begins: (() => void)[] = []
  #heldBytes = 0
  #isOver = false

  constructor(encoding: MessageEncoding, budget: InflateBudget) {
    this.#encoding = encoding
    this.#share = new InflateShare(budget)
  }

  /**
   * The bytes of a message, without its prefix. Called for every message, in their order.
   *
   * @throws MillraceError `invalid_event` (damaged), `message_too_large`, `backlogged` (no memory for it).
   */
  async contentOf(message: Buffer): Promise<Buffer> {
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    this.#begins.push(resolve)
    const content = message.subarray(prefixBytes)
    if (message[0] !== 1) return content
    await before
    return await this.#inflate(content)
  }

  /** The first message that was not handed on is now. */
  handOn(): void {
    this.#begins.shift()?.()
  }

  /** Gives back the memory of what was handed on: it is answered, or counted elsewhere. */
  release(): void {
    this.#share.release(this.#heldBytes)
    this.#heldBytes = 0
  }

  /** The call has ended. */
  close(): void {
    this.#isOver = true
    this.release()
  }

  async #inflate(content: Buffer): Promise<Buffer> {
    const rest = [content]
    const parts: Buffer[] = []
    let length = 0
    const ownBytes = inflaterBytes[this.#encoding]
    this.#share.take(ownBytes)
    const inflater = new Inflater(this.#encoding, async () => rest.pop() ?? null)
    try {
      for (let part = await inflater.next(); part !== null; part = await inflater.next()) {
        // A part of it must not be taken for the message.
        if (this.#isOver) throw new MillraceError('cancelled', 'the call has ended')
        length += part.length
        if (length > limits.maxMessageBytes) throw tooLarge(`more than ${limits.maxMessageBytes} bytes`)
        this.#share.take(part.length)
        this.#heldBytes += part.length
        parts.push(part)
      }
    } catch (thrown) {
      throw thrown instanceof InflateError ? this.#failureOf(thrown) : thrown
    } finally {
      inflater.close()
      this.#share.release(ownBytes)
      if (this.#isOver) this.release()
    }
    return Buffer.concat(parts, length)
  }

  #failureOf({ problem, cause }: InflateError): MillraceError {
    if (problem === 'a bomb')
      return tooLarge(`more than ${freeInflatedBytes} bytes and ${maxInflateRatio} times its size`)
    const text = `a message is not ${this.#encoding}, as grpc-encoding says: it is ${problem}`
    return new MillraceError('invalid_event', text, { field, cause })
  }
}

function tooLarge(size: string): MillraceError {
  return new MillraceError('message_too_large', `the message inflates to ${size}: send fewer events in one message`)
}
