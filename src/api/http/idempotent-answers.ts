// The answers of administrative requests with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header, revision 7), so that
// one that is sent again is not done again.
//
// They are kept in the memory of this process: a restart, or another process, knows none of them.

import { MillraceError } from '../../errors.ts'

export const maxIdempotentAnswers = 1000
export const maxIdempotentAnswerBytes = 64 * 1024
export const idempotentAnswersKeptMs = 600_000

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly payload: string | Buffer
}

/** A request that has a key. */
export interface KeyedRequest {
  /** Caller, route and key. */
  readonly id: string
  /** A digest of all else that makes the request what it is. */
  readonly fingerprint: string
}

interface Entry {
  readonly fingerprint: string
  readonly begunAtMs: number
  /** Null while the first request runs. */
  answer: Answer | null
}

export class IdempotentAnswers {
  /** A monotonic clock, in milliseconds. */
  readonly #now: () => number
  /** By the id of the request, the oldest first. */
  readonly #entries = new Map<string, Entry>()

  constructor(now: () => number) {
    this.#now = now
  }

  /**
   * Null: nothing is known of the request, so it is done. Otherwise what the first one was answered.
   *
   * @throws MillraceError `already_exists` while the first one runs, `failed_precondition` when the first one was another.
   */
  begin({ id, fingerprint }: KeyedRequest): Answer | null {
    this.#forgetOld()
    const known = this.#entries.get(id)
    if (known === undefined) {
      this.#entries.set(id, { fingerprint, begunAtMs: this.#now(), answer: null })
      return null
    }
    const field = 'idempotency-key'
    if (known.fingerprint !== fingerprint) {
      const problem = 'another request was sent with this Idempotency-Key: give each its own'
      throw new MillraceError('failed_precondition', problem, { field })
    }
    if (known.answer === null) {
      const problem = 'a request with this Idempotency-Key is running: send it again later for its answer'
      throw new MillraceError('already_exists', problem, { field })
    }
    return known.answer
  }

  /** @param answer null: the request may be done again. */
  end({ id, fingerprint }: KeyedRequest, answer: Answer | null): void {
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.fingerprint !== fingerprint) return
    if (answer === null || answer.payload.length > maxIdempotentAnswerBytes) this.#entries.delete(id)
    else entry.answer = answer
  }

  #forgetOld(): void {
    const oldestMs = this.#now() - idempotentAnswersKeptMs
    for (const [id, { begunAtMs }] of this.#entries) {
      if (begunAtMs > oldestMs && this.#entries.size < maxIdempotentAnswers) return
      this.#entries.delete(id)
    }
  }
}
