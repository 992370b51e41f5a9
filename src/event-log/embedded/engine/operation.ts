// One call of the proxy that changes the log. Operations run in the order of the calls, many in one transaction, and are
// answered when it is durable.

import type { MillraceError } from '../../../errors.ts'
import type { Answer, Refusal } from '../protocol.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** Calls are answered in the order in which their promises resolve. */
export abstract class Operation<T> {
  readonly #answer = Promise.withResolvers<Answer<T>>()

  get answer(): Promise<Answer<T>> {
    return this.#answer.promise
  }

  /** New bytes that are refused when the disk has no room for them. */
  get refusableBytes(): number {
    return 0
  }

  /** About how many new bytes it writes. */
  get newBytes(): number {
    return this.refusableBytes
  }

  /**
   * Runs in the transaction. A MillraceError refuses the call, which must not have changed anything then. When the
   * transaction is rolled back because the disk is full, it runs again.
   */
  abstract run(work: UnitOfWork): void

  /** Called when the transaction is durable. */
  abstract committed(): void

  refuse(reason: MillraceError): void {
    this.#answer.resolve(toRefusal(reason))
  }

  fail(reason: unknown): void {
    this.#answer.reject(reason)
  }

  protected resolve(answer: Answer<T>): void {
    this.#answer.resolve(answer)
  }
}

export function toRefusal({ code, message, field, retryAfterMs, highestProducerEpoch, cause }: MillraceError): Refusal {
  return { refused: code, message, options: { field, retryAfterMs, highestProducerEpoch, cause } }
}
