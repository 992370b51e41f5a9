// Plans the pause or the resumption of a group, which is a transaction of its own.

import type { GroupState } from './group-state.ts'
import { type CommitRequest, emptyRequest } from './thread-protocol.ts'

export interface PauseRequest {
  readonly group: GroupState
  /** Null resumes the group. */
  readonly reason: string | null
  resolve(): void
  reject(reason: unknown): void
}

export class PausePlan {
  readonly #request: PauseRequest

  constructor(request: PauseRequest) {
    this.#request = request
  }

  readonly isEmpty = false

  readonly appends = { appends: 0, entries: 0, events: 0, bytes: 0 }

  encode(): CommitRequest {
    const { group, reason } = this.#request
    const change =
      reason === null ? { endedPauses: [group.number] } : { pauses: [{ groupNumber: group.number, reason }] }
    return { ...emptyRequest(), ...change }
  }

  /** A pause has nothing that a full disk refuses. */
  refuse(): void {}

  committed(): void {
    const { group, reason, resolve } = this.#request
    group.paused = reason
    resolve()
  }

  failed(reason: unknown): void {
    this.#request.reject(reason)
  }
}
