// Forgets a group. It is a transaction of its own, so all that is known of the group when it is planned is durable.
//
// The group is gone from the state at once, for whatever is planned later is committed later. One statement removes what
// should have come again: as much as may wait at most.

import { lanes } from '../../event/event.ts'
import type { GroupState } from './group-state.ts'
import type { LogState } from './log-state.ts'
import { type CommitRequest, emptyRequest } from './thread-protocol.ts'

export interface DropRequest {
  readonly group: GroupState
  /** Answers how many events were waiting. */
  resolve(waitingEvents: number): void
  reject(reason: unknown): void
}

export class DropPlan {
  readonly #state: LogState
  readonly #request: DropRequest

  constructor(state: LogState, request: DropRequest) {
    this.#state = state
    this.#request = request
    state.remove(request.group)
  }

  readonly isEmpty = false

  readonly appends = { appends: 0, entries: 0, events: 0, bytes: 0 }

  encode(): CommitRequest {
    const { lastAppendNumber, producers } = this.#state
    const log = this.#state.row(lastAppendNumber, producers.stored)
    return { ...emptyRequest(), log, droppedGroup: this.#request.group.number }
  }

  /** Nothing of it could be refused. */
  refuse(): void {}

  committed(): void {
    const { group, resolve } = this.#request
    this.#forgetSettled(group)
    resolve(group.partitions.reduce((sum, { ledger }) => sum + ledger.waitingEvents, 0))
  }

  failed(reason: unknown): void {
    this.#request.reject(reason)
  }

  /** Lets go of the memory of entries that only this group had not settled. */
  #forgetSettled({ topic }: GroupState): void {
    for (const { streams } of this.#state.topics.get(topic)!.partitions) {
      for (const lane of lanes) {
        const { tail, name } = streams[lane]
        this.#state.recent.dropBelow(tail, this.#state.settledByAllBelow(name))
      }
    }
  }
}
