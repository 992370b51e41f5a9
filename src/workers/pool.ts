// What every worker pool offers to the server: one pool for each group that this process works on.

import type { ErrorCode } from '../errors.ts'
import type { GroupState } from '../pipeline/group-state.ts'
import type { GroupOptions } from '../pipeline/pipeline.ts'

/** Why a pool takes nothing for now. */
export interface Outage {
  readonly code: ErrorCode
  readonly reason: string
  /** In milliseconds since 1970. */
  readonly sinceMs: number
}

export interface Pool {
  readonly topic: string
  readonly group: string
  /** The types of events that it takes; empty: all. */
  readonly types: readonly string[]
  /** Null for a pool that lands. */
  readonly options: GroupOptions | null
  /** `running` with a reason: only what the reason names does not move. */
  readonly state: GroupState
  /** What fails now, with an error code as its reason; null when nothing does. */
  readonly problem: { readonly reason: ErrorCode; readonly message: string } | null
  /** False while it can take no work. */
  readonly takesWork: boolean
  /** Joins the group and starts. Errors: those of EventLog.consume. */
  start(): Promise<void>
  /**
   * Takes no more work, lets what has begun finish, and returns the rest to the log. Idempotent.
   * @param graceMs how long that may take.
   */
  close(graceMs: number): Promise<void>
}
