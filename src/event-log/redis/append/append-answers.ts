// What the answers of append.lua mean to the callers of append.

import { MillraceError } from '../../../errors.ts'
import { type Backlog, producerWindow, type WaitingLimit } from '../../event-log.ts'
import { numberOf, type Reply, textOf } from '../connection/redis-connection.ts'

/** What the texts name of a refused append. */
export interface RefusedAppend {
  readonly maxWaiting: WaitingLimit | undefined
  readonly producer: { readonly id: string; readonly epoch: number; readonly sequence: number } | undefined
}

/** An append that was refused although its stream can take others. */
export function tooOld({ producer }: RefusedAppend): MillraceError {
  return new MillraceError(
    'out_of_range',
    `sequence ${producer?.sequence} of producer "${producer?.id}" is ${producerWindow} or more behind its latest; whether it is stored is unknown`,
    { field: 'sequence' },
  )
}

export function fenced({ producer }: RefusedAppend, [highest]: readonly Reply[]): MillraceError {
  const producerEpoch = numberOf(highest)
  return new MillraceError(
    'failed_precondition',
    `producer "${producer?.id}" has been started again since: its epoch ${producer?.epoch} is over, the highest is ${producerEpoch}`,
    { field: 'producer_epoch', cause: { producerEpoch } },
  )
}

export function backlogged(topic: string, { maxWaiting }: RefusedAppend, facts: readonly Reply[]): MillraceError {
  const cause: Backlog = {
    group: textOf(facts[0]),
    waitingEvents: numberOf(facts[1]),
    waitingBytes: numberOf(facts[2]),
    settledEvents: numberOf(facts[3]),
  }
  return new MillraceError(
    'backlogged',
    `${cause.waitingEvents} events of ${cause.waitingBytes} bytes wait for group "${cause.group}" of topic "${topic}"; ` +
      `the limit is ${maxWaiting?.maxEvents} events or ${maxWaiting?.maxBytes} bytes`,
    { cause },
  )
}

/** Another program has raised the last id of the lane. */
export function blocked(lane: string, facts: readonly Reply[]): MillraceError {
  const [said, cure] = [textOf(facts[0]), textOf(facts[1])]
  return new MillraceError(
    'durability_lost',
    `nothing can be appended to ${lane}, and nothing was written: ${blockedText(said, cure)}`,
  )
}

export function blockedText(said: string, cure: string): string {
  return `${said.replace(/^ERR /, '')}, because another program has raised the last id of this key; run on Redis: ${cure}`
}

/** The append is in the log, but a replica that takes over from this master may not have it. */
export function notReplicated(): MillraceError {
  return new MillraceError(
    'unavailable',
    'too few Redis replicas acknowledged the append in time; the outcome is unknown',
  )
}

export function withUnknownOutcome(thrown: unknown): never {
  if (!(thrown instanceof MillraceError && thrown.code === 'unavailable')) throw thrown
  const { code, message, cause } = thrown
  throw new MillraceError(code, `${message}; the outcome is unknown`, { cause })
}
