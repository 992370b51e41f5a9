// What every driver refuses of a numbered message, in the same words.

import { MillraceError } from '../errors.ts'
import type { ProducerMessage } from '../event/producer-message.ts'
import { producerWindow } from './event-log.ts'

/** Throws `internal` for numbers that no log can keep. */
export function checkNumbers({ id, epoch, sequence }: ProducerMessage): void {
  for (const [name, value] of Object.entries({ epoch, sequence })) {
    if (Number.isSafeInteger(value) && value >= 0) continue
    const text = `the ${name} of producer "${id}" is ${value}; it must be a whole number from 0 to 2^53 - 1`
    throw new MillraceError('internal', text)
  }
}

export function tooOld({ id, sequence }: ProducerMessage): MillraceError {
  return new MillraceError(
    'out_of_range',
    `sequence ${sequence} of producer "${id}" is ${producerWindow} or more behind its latest; whether it is stored is unknown`,
    { field: 'sequence' },
  )
}

/** @param highest the highest epoch that the stream remembers. */
export function fenced({ id, epoch }: ProducerMessage, highest: number): MillraceError {
  return new MillraceError(
    'failed_precondition',
    `producer "${id}" has been started again with producer_epoch ${highest}, so ${epoch} may publish no more: ` +
      'end this process, or start it with a higher producer_epoch',
    { field: 'producer_epoch', highestProducerEpoch: highest },
  )
}
