// A pending call of `Consumer.next`.

import { Transferred } from '../../../lib/sqlite/database-thread.ts'
import type { Answer, Deliveries, NextCall } from '../protocol.ts'
import type { GroupSession } from './session.ts'

export class Waiter {
  readonly call: NextCall
  readonly group: GroupSession
  readonly answer: (answer: Answer<Transferred<Deliveries>>) => void
  readonly fail: (reason: unknown) => void
  /** On the clock of `performance.now`. */
  readonly expiresAt: number

  constructor(call: NextCall, group: GroupSession, promise: PromiseWithResolvers<Answer<Transferred<Deliveries>>>) {
    this.call = call
    this.group = group
    this.answer = promise.resolve
    this.fail = promise.reject
    this.expiresAt = performance.now() + call.maxWaitMs
  }

  get isExpired(): boolean {
    return performance.now() >= this.expiresAt
  }

  /** Answers the call with nothing. */
  end(): void {
    this.answer(new Transferred({ deliveries: new Float64Array(0), bytes: new Uint8Array(0) }, []))
  }
}
