// Passes events to a publisher, as fast as it accepts them or at a steady rate.

import type { Publisher } from '../client/publisher.ts'
import { MillraceError } from '../errors.ts'
import { sleep } from '../lib/abort.ts'
import type { EventSource } from './event-source.ts'
import { dueAtMs, eventsDue } from './pace.ts'

export interface SendOptions {
  /** Events per second; null: as fast as the publisher accepts them. */
  readonly ratePerSecond: number | null
  /** Ends sending after the current event. */
  readonly signal: AbortSignal
  /** Called for an event that the client itself refuses. */
  readonly onRefused: (error: MillraceError) => void
}

export interface Sent {
  /** How many events were taken from the source, refused ones included. */
  readonly events: number
  /** From the first event to the last, in milliseconds. */
  readonly elapsedMs: number
}

/** Max events added before yielding to the event loop, so that messages are sent and acknowledgements received. */
const eventsPerTurn = 256

/** Resolves when the source is at its end or the signal aborts. Throws the error that made the publisher fail. */
export async function sendEvents(
  source: EventSource,
  publisher: Publisher,
  { ratePerSecond, signal, onRefused }: SendOptions,
): Promise<Sent> {
  const whenAborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  const startMs = performance.now()
  let events = 0
  let elapsedMs = 0
  while (!signal.aborted && (await source.fill())) {
    const due = ratePerSecond === null ? Infinity : eventsDue(performance.now() - startMs, ratePerSecond)
    const turnEnd = Math.min(due, events + eventsPerTurn)
    let isFull = false
    while (events < turnEnd && !isFull) {
      try {
        const event = source.take()
        if (event === null) break
        isFull = !publisher.add(event)
      } catch (error) {
        if (error === publisher.failure || !isRefusal(error)) throw error
        onRefused(error)
      }
      events++
    }
    elapsedMs = performance.now() - startMs
    if (isFull) await Promise.race([publisher.ready(), whenAborted])
    else if (ratePerSecond !== null && events === due) {
      await sleep(Math.max(0, dueAtMs(events, ratePerSecond) - elapsedMs), signal)
    } else await turn()
  }
  return { events, elapsedMs }
}

/** Whether the error is about one event, not about the publisher. */
function isRefusal(error: unknown): error is MillraceError {
  return error instanceof MillraceError && (error.code === 'invalid_event' || error.code === 'event_too_large')
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
