// The errors of appends that the script, or the replicas, did not take.

import { MillraceError } from '../../../errors.ts'
import type { Backlog } from '../../event-log.ts'
import { numberOf, type Reply, textOf } from '../connection/redis-connection.ts'
import { blockedText } from '../guard/blocked-lanes.ts'

export function backlogOf([group, waitingEvents, waitingBytes, settledEvents]: readonly Reply[]): Backlog {
  return {
    group: textOf(group),
    waitingEvents: numberOf(waitingEvents),
    waitingBytes: numberOf(waitingBytes),
    settledEvents: numberOf(settledEvents),
  }
}

/** Another program has raised the last id of the lane. */
export function blocked(lane: string, facts: readonly Reply[]): MillraceError {
  const [said, cure] = [textOf(facts[0]), textOf(facts[1])]
  return new MillraceError(
    'durability_lost',
    `${lane} refuses every append, and nothing was written: ${said.replace(/^ERR /, '')}; ${blockedText(cure)}`,
  )
}

/** The append is in the log, but a replica that takes over from this master may not have it. */
export function notReplicated(): MillraceError {
  return new MillraceError(
    'unavailable',
    'too few Redis replicas acknowledged the append in time; the outcome is unknown',
  )
}
