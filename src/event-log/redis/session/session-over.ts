// The end of a session, as a script reports it.

import { MillraceError } from '../../../errors.ts'
import type { EndedEpoch } from '../../event-log.ts'
import type { Reply } from '../connection/redis-connection.ts'

/**
 * `gone`: the partition's metadata is missing. `behind`: a lane ends before an offset that was known. `different`: an
 * offset has another entry. `elsewhere`: another process has already begun a new epoch.
 */
export type ResetReason = 'gone' | 'behind' | 'different' | 'elsewhere'

/** The session is over; the script that returned this has written nothing. */
export class SessionOver extends Error {
  readonly reason: ResetReason
  /** The epoch of the session. */
  readonly epoch: number
  /** The epoch found on the server; 0 when there was none. */
  readonly seen: number

  constructor(reason: ResetReason, epoch: number, seen: number) {
    super(`epoch ${epoch} is over: ${reason}`)
    this.reason = reason
    this.epoch = epoch
    this.seen = seen
  }
}

/** Throws SessionOver when a script returned that. */
export function throwIfOver(reply: Reply, epoch: number): void {
  const [, reason, seen] = /^over (\S+) ?(\d*)$/.exec(wordOf(reply)) ?? []
  if (reason !== undefined) throw new SessionOver(reason as ResetReason, epoch, Number(seen))
}

/** The reply of a script that returned one word; '' when it returned more. */
export function wordOf(reply: Reply): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : ''
}

/** The error of a consumer whose session is over. */
export function consumerOver(endedEpoch: number): MillraceError {
  const cause: EndedEpoch = { endedEpoch }
  return new MillraceError(
    'unavailable',
    'Redis has lost data of the log, so its deliveries are void; join the group again',
    { cause },
  )
}
