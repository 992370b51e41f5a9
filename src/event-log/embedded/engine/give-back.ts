// Returns leases to their group, with the attempts that their entries had before: some of a consumer's, or all of one
// that leaves.

import { Operation } from './operation.ts'
import type { Lease, Session } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export class GiveBackOperation extends Operation<null> {
  readonly #session: Session
  readonly #consumer: number
  /** Null: all, and the consumer leaves. */
  readonly #leases: readonly number[] | null
  #returned: readonly Lease[] = []

  constructor(session: Session, consumer: number, leases: readonly number[] | null) {
    super()
    this.#session = session
    this.#consumer = consumer
    this.#leases = leases
  }

  run(work: UnitOfWork): void {
    const held = this.#session.members.get(this.#consumer)?.leases
    const ids = this.#leases ?? [...(held?.keys() ?? [])]
    this.#returned = ids.flatMap((id) => held?.get(id) ?? [])
    for (const lease of this.#returned) {
      // Nothing more is written for a dropped group.
      if (work.group(lease.group.groupNumber) !== undefined) giveBack(work, lease)
    }
  }

  committed(): void {
    for (const lease of this.#returned) {
      const { group, stream, firstOffset, dueAtMs } = lease
      this.#session.release(lease)
      if (dueAtMs === null) {
        group.place(stream).lookFrom(0, firstOffset)
        group.hot.add(stream)
      } else {
        group.expectDue(stream, dueAtMs, firstOffset)
      }
    }
    this.#session.mustLookAgain ||= this.#returned.length > 0
    if (this.#leases === null) this.#session.members.delete(this.#consumer)
    this.resolve(null)
  }
}

function giveBack(work: UnitOfWork, lease: Lease): void {
  const { group, stream, firstOffset, attempt, count, dueAtMs, eventKey, originOffset } = lease
  if (dueAtMs !== null) {
    const row = { stream, dueAtMs, firstOffset, eventCount: count, attempt: attempt - 1, eventKey, originOffset }
    work.books.due.save(row)
    work.written()
    return
  }
  const cursor = work.cursors.get(group.groupNumber, stream)!
  work.setAttempts(cursor, firstOffset, attempt - 1, attempt !== 1)
}
