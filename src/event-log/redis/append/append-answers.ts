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

/** Too much waits in the queue of this process. */
export function queueFull(topic: string, cause: Backlog): MillraceError {
  return new MillraceError(
    'backlogged',
    `the append queue of topic "${topic}" is full: ${cause.waitingEvents} events (${cause.waitingBytes} bytes) wait to be stored; retry later`,
    { cause },
  )
}

/** Another program has raised the last id of the lane. */
export function blocked(lane: string, facts: readonly Reply[]): MillraceError {
  const [said, cure] = [textOf(facts[0]), textOf(facts[1])]
  return new MillraceError(
    'durability_lost',
    `${lane} refuses every append, and nothing was written: ${said.replace(/^ERR /, '')}; ${blockedText(cure)}`,
  )
}

/** The events are in the log, but a replica that takes over from this master may not have it. */
export function notReplicated(): MillraceError {
  return new MillraceError(
    'unavailable',
    'too few Redis replicas acknowledged the events in time; the outcome is unknown',
  )
}
