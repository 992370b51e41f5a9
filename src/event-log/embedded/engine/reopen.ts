// Delivers batches to one group once more: stores them in its own stream, due at once.

import { dueAtOnce } from '../../event-log.ts'
import { batchFields, type ReopenCall } from '../protocol.ts'
import { findGroup, findStream } from './find.ts'
import { Operation } from './operation.ts'
import type { Session } from './session.ts'
import { storeDue } from './store-due.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export class ReopenOperation extends Operation<null> {
  readonly #call: ReopenCall
  readonly #session: Session

  constructor(call: ReopenCall, session: Session) {
    super()
    this.#call = call
    this.#session = session
  }

  override get refusableBytes(): number {
    return this.#call.bytes.byteLength
  }

  run(work: UnitOfWork): void {
    const { stream, group, bytes, batches, again } = this.#call
    const { partition, lane } = findStream(work, stream)
    const { groupNumber } = findGroup(work, stream.topic, group)
    const own = work.ownStream(groupNumber, partition, lane)
    for (let index = 0, at = 0; at < batches.length; index++, at += batchFields) {
      const redelivery = {
        count: batches[at + 2]!,
        receivedAtMicros: batches[at + 3]!,
        attempt: again[index * 2]!,
        dueAtMs: dueAtOnce,
        isSuspect: false,
        eventKey: '',
        originOffset: again[index * 2 + 1]!,
      }
      const part = bytes.subarray(batches[at]!, batches[at]! + batches[at + 1]!)
      const ledger = storeDue(work, this.#session.groups.get(groupNumber), own, redelivery, part)
      ledger.reopened += redelivery.count
    }
  }

  committed(): void {
    this.resolve(null)
  }
}
