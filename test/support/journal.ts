// The producers' record of their attempts and the answers. It lives in the test process, so it survives every crash of
// the server, and the checker compares the server's data with it.

import { identityOf } from './identity.ts'

/** `unknown`: no answer, or one that does not decide the outcome. Also the state of an attempt in flight. */
export type Answer = 'accepted' | 'rejected' | 'unknown'

/** The producers' knowledge of one event. */
export interface JournalEntry {
  readonly source: string
  /** Every spelling of the id that was sent. */
  readonly ids: Set<string>
  readonly producer: string
  /** Its index in its producer's send order, counted at the first attempt. */
  readonly number: number
  accepted: number
  rejected: number
  unknown: number
  /** When the first acceptance was known, in milliseconds since 1970, rounded up. */
  acceptedAtMs: number | null
}

/** One attempt to send one event. It is unknown until answered. */
export class Attempt {
  readonly entry: JournalEntry
  #answer: Answer = 'unknown'

  constructor(entry: JournalEntry) {
    this.entry = entry
    entry.unknown++
  }

  get answer(): Answer {
    return this.#answer
  }

  set answer(answer: Answer) {
    this.entry[this.#answer]--
    this.entry[answer]++
    this.#answer = answer
    if (answer === 'accepted') this.entry.acceptedAtMs ??= Date.now() + 1
  }
}

export class Journal {
  readonly #entries = new Map<string, JournalEntry>()
  readonly #numbers = new Map<string, number>()

  /** Records an attempt. Call it before the event is sent. */
  attempt(producer: string, event: { readonly source: string; readonly id: string }): Attempt {
    const identity = identityOf(event.source, event.id)
    let entry = this.#entries.get(identity)
    if (entry === undefined) {
      const number = this.#numbers.get(producer) ?? 0
      this.#numbers.set(producer, number + 1)
      entry = {
        source: event.source,
        ids: new Set(),
        producer,
        number,
        accepted: 0,
        rejected: 0,
        unknown: 0,
        acceptedAtMs: null,
      }
      this.#entries.set(identity, entry)
    }
    entry.ids.add(event.id)
    return new Attempt(entry)
  }

  find(source: string, id: string): JournalEntry | undefined {
    return this.#entries.get(identityOf(source, id))
  }

  entries(): IterableIterator<[string, JournalEntry]> {
    return this.#entries.entries()
  }

  /** Events that were accepted at least once. */
  get accepted(): number {
    let accepted = 0
    for (const entry of this.#entries.values()) if (entry.accepted > 0) accepted++
    return accepted
  }

  get size(): number {
    return this.#entries.size
  }
}
