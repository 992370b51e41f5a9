// Plans the deletion of a group. It is a transaction of its own, so the group's whole state is durable when it is
// planned.
//
// The group leaves the state at once, because whatever is planned later is also committed later. One statement removes
// all its pending redeliveries, at most as many as the waiting limit allows.

import { lanes } from '../../event/event.ts'
import type { GroupState } from './group-state.ts'
import type { LogState } from './log-state.ts'
import { type CommitRequest, emptyRequest } from './thread-protocol.ts'

export interface DropRequest {
  readonly group: GroupState
  /** Resolves with the number of events that were waiting. */
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

  /** A deletion has nothing that a full disk refuses. */
  refuse(): void {}

  committed(): void {
    const { group, resolve } = this.#request
    this.#forgetSettled(group)
    resolve(group.partitions.reduce((sum, { ledger }) => sum + ledger.waitingEvents, 0))
  }

  failed(reason: unknown): void {
    this.#request.reject(reason)
  }

  /** Frees the memory of entries that only this group had not settled. */
  #forgetSettled({ topic }: GroupState): void {
    for (const { streams } of this.#state.topics.get(topic)!.partitions) {
      for (const lane of lanes) {
        const { tail, name } = streams[lane]
        this.#state.recent.dropBelow(tail, this.#state.settledByAllBelow(name))
      }
    }
  }
}
