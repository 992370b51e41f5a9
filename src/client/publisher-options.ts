// How a publisher may be set up, within which bounds.

import { MillraceError } from '../errors.ts'
import { defaultTopic, limits } from '../event/event.ts'
import type { Overflow } from '../pipeline/pipeline.ts'
import type { PublisherRejection } from './publish-tally.ts'

export interface PublisherOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /**
   * What becomes of events for which there is no room: `reject` (default; they come back as rejections with a hint when
   * to publish them again), `drop` (they are counted) or `wait` (the server stops reading, and add() asks to wait).
   */
  readonly overflow?: Overflow
  /** A message is cut when it has this many bytes, 1 to 524,288. Default 65,536. An event is never split. */
  readonly maxMessageBytes?: number
  /** A message is cut when it has this many events, 1 to 100,000. Default 1,000. */
  readonly maxMessageEvents?: number
  /** How long an event may wait for others to travel with, in milliseconds. Default 2. */
  readonly lingerMs?: number
  /** How many messages may be unacknowledged, 1 to 1,000 (the server recognises the last 8,192). Default 256. */
  readonly maxUnackedMessages?: number
  /** How many bytes of events may be held, sent or not, before add() asks to wait. Default 8 MiB. */
  readonly maxUnackedBytes?: number
  /** How long to look for a server after a cut, in milliseconds, before giving up for good. Default 60,000. */
  readonly giveUpAfterMs?: number
  /** How long a connected server may acknowledge nothing before it counts as gone, in milliseconds. Default 30,000. Not with `wait`. */
  readonly stallAfterMs?: number
  /** Called with events that were not taken, as the server names them. They are not sent again. */
  readonly onRejections?: (rejections: readonly PublisherRejection[]) => void
  /** Called when the connection was lost or cannot be made. The publisher goes on trying by itself. */
  readonly onCut?: (error: MillraceError) => void
}

/** Fills in the defaults. Throws `invalid_event`, naming the option, when one is out of its range. */
export function withDefaults(options: PublisherOptions): Required<PublisherOptions> {
  return {
    topic: options.topic ?? defaultTopic,
    overflow: options.overflow ?? 'reject',
    maxMessageBytes: inRange('maxMessageBytes', options.maxMessageBytes ?? 64 * 1024, 1, 512 * 1024),
    maxMessageEvents: inRange('maxMessageEvents', options.maxMessageEvents ?? 1000, 1, limits.maxEventsPerMessage),
    lingerMs: inRange('lingerMs', options.lingerMs ?? 2, 0, 60_000),
    maxUnackedMessages: inRange('maxUnackedMessages', options.maxUnackedMessages ?? 256, 1, 1000),
    maxUnackedBytes: inRange('maxUnackedBytes', options.maxUnackedBytes ?? 8 * 1024 * 1024, 1, 2 ** 31),
    giveUpAfterMs: inRange('giveUpAfterMs', options.giveUpAfterMs ?? 60_000, 0, 2 ** 31 - 1),
    stallAfterMs: inRange('stallAfterMs', options.stallAfterMs ?? 30_000, 1, 2 ** 31 - 1),
    onRejections: options.onRejections ?? (() => {}),
    onCut: options.onCut ?? (() => {}),
  }
}

function inRange(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new MillraceError('invalid_event', `${name} is ${value}; it must be a whole number from ${min} to ${max}`, {
    field: name,
  })
}
