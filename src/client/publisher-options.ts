// The options of a publisher, with their defaults and ranges.

import { randomUUID } from 'node:crypto'
import { MillraceError } from '../errors.ts'
import { defaultTopic, limits } from '../event/event.ts'
import type { Overflow } from '../pipeline/pipeline.ts'
import type { PublisherRejection } from './publish-tally.ts'

export interface PublisherOptions {
  /** A declared topic. Default `events`. */
  readonly topic?: string
  /**
   * Names the producer, 1 to 255 bytes. Default: a new name for each publisher. When several publishers have one name,
   * the one that is started last publishes; the others fail with `failed_precondition`.
   */
  readonly producerId?: string
  /**
   * What happens to events when there is no room: `reject` (default; they are reported as rejections with a retry
   * hint), `drop` (they are counted) or `wait` (the server stops reading, and add() returns false when the publisher is
   * full).
   */
  readonly overflow?: Overflow
  /** A message is cut when it has this many bytes, 1 to 524,288. Default 65,536. An event is never split. */
  readonly maxMessageBytes?: number
  /** A message is cut when it has this many events, 1 to 100,000. Default 1,000. */
  readonly maxMessageEvents?: number
  /** How long an event may wait for others in its message, in milliseconds. Default 2. */
  readonly lingerMs?: number
  /** Max messages in flight, 1 to 1,000 (the server recognises resends of the last 8,192). Default 256. */
  readonly maxUnackedMessages?: number
  /** Max bytes of events held, sent or not, before add() returns false. Default 8 MiB. */
  readonly maxUnackedBytes?: number
  /** How long to retry without a server, in milliseconds, before the publisher fails for good. Default 60,000. */
  readonly giveUpAfterMs?: number
  /**
   * How long a connected server may acknowledge nothing before it counts as lost, in milliseconds. Default 30,000. Not
   * with `wait`.
   */
  readonly stallAfterMs?: number
  /** Called with the events that the server rejected. They are not sent again. */
  readonly onRejections?: (rejections: readonly PublisherRejection[]) => void
  /** Called when the connection was lost or could not be made. The publisher retries by itself. */
  readonly onCut?: (error: MillraceError) => void
}

/** Fills in the defaults. Throws `invalid_event`, naming the option, when one is out of range. */
export function withDefaults(options: PublisherOptions): Required<PublisherOptions> {
  return {
    topic: options.topic ?? defaultTopic,
    producerId: producerIdOf(options.producerId ?? randomUUID()),
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

function producerIdOf(producerId: string): string {
  const bytes = Buffer.byteLength(producerId)
  if (bytes >= 1 && bytes <= limits.maxNameBytes && !producerId.includes('\0')) return producerId
  const problem = `producerId has ${bytes} bytes; it must have 1 to ${limits.maxNameBytes}, none of them NUL`
  throw new MillraceError('invalid_event', problem, { field: 'producerId' })
}

function inRange(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new MillraceError('invalid_event', `${name} is ${value}; it must be a whole number from ${min} to ${max}`, {
    field: name,
  })
}
