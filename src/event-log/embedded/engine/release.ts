// Makes what is held of a key due at once: its first entry in a group's own stream.

import { dueAtOnce } from '../../event-log.ts'
import type { ReleaseCall } from '../protocol.ts'
import { findGroup, findStream } from './find.ts'
import { release } from './key-queue.ts'
import { Operation } from './operation.ts'
import type { Session } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export class ReleaseOperation extends Operation<boolean> {
  readonly #call: ReleaseCall
  readonly #session: Session
  #isReleased = false

  constructor(call: ReleaseCall, session: Session) {
    super()
    this.#call = call
    this.#session = session
  }

  run(work: UnitOfWork): void {
    const { stream, group, key, attempt } = this.#call
    const { partition, lane } = findStream(work, stream)
    const { groupNumber } = findGroup(work, stream.topic, group)
    const own = work.ownStream(groupNumber, partition, lane)
    const session = this.#session.groups.get(groupNumber)
    const offset = release(work, session, { stream: own.stream, eventKey: key }, attempt)
    this.#isReleased = offset !== null
    if (offset !== null) session?.expectDue(own.stream, dueAtOnce, offset)
  }

  committed(): void {
    this.resolve(this.#isReleased)
  }
}
