// The refusal of an append over its limit, in the same words for every driver.

import { MillraceError } from '../errors.ts'
import type { Backlog, WaitingLimit } from './event-log.ts'

export function backlogged(topic: string, limit: WaitingLimit | undefined, cause: Backlog): MillraceError {
  return new MillraceError(
    'backlogged',
    `${cause.waitingEvents} events of ${cause.waitingBytes} bytes wait for group "${cause.group}" of topic "${topic}"; ` +
      `the limit is ${limit?.maxEvents} events or ${limit?.maxBytes} bytes`,
    { cause },
  )
}
