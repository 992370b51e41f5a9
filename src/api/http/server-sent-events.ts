// Frames of the live feed as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). The id
// of each is the cursor behind it, so a browser that connects again goes on after the last one that it got.

import type { LiveEvent, LiveFrame } from '../../pipeline/live.ts'
import { gapJson } from './gap-json.ts'
import { liveEventJson } from './live-event-json.ts'
import { type Problem, problemMembers } from './problem.ts'

export const sseHeaders = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // Asks nginx not to hold the stream back.
  'x-accel-buffering': 'no',
  connection: 'close',
}

/** The first bytes: the client connects again after so many milliseconds. */
export const sseStart = Buffer.from('retry: 2000\n: connected\n\n')

/** A comment, which a client ignores. */
export const sseComment = Buffer.from(':\n\n')

/** Encodes frames. Those with the same events are encoded once for all subscribers. */
export class SseEncoder {
  readonly #shared = new WeakMap<object, Buffer>()

  encode(frame: LiveFrame, topic: string): Buffer {
    if (frame.is !== 'events') return Buffer.from(textOf(frame))
    const { events, sharedBy } = frame
    const known = sharedBy === null ? undefined : this.#shared.get(sharedBy)
    if (known !== undefined) return known
    const bytes = Buffer.from(events.map((event) => eventText(event, topic)).join(''))
    if (sharedBy !== null) this.#shared.set(sharedBy, bytes)
    return bytes
  }
}

/** An event without an id. */
export function sseEvent(name: string, json: string): Buffer {
  return Buffer.from(block(name, json))
}

/** Why a stream ends; it has no id, because it says nothing about events. */
export function sseProblem({ status, error }: Problem): Buffer {
  return Buffer.from(block('problem', JSON.stringify(problemMembers(status, error))))
}

/** Made once for all subscribers, who get it in different frames. */
function eventText(event: LiveEvent, topic: string): string {
  event.text ??= `id: ${event.cursor}\n${block('event', liveEventJson(event.bytes, topic))}`
  return event.text
}

function textOf(frame: Exclude<LiveFrame, { readonly is: 'events' }>): string {
  const id = `id: ${frame.cursor}\n`
  switch (frame.is) {
    case 'gap':
      return id + block('gap', JSON.stringify(gapJson(frame)))
    case 'caught_up':
      return id + block('caught_up', '{}')
    case 'progress':
      return `${id}\n`
    case 'reconnect':
      // A browser waits as long as the last `retry` said.
      return `${id}retry: ${frame.afterMs}\n${block('reconnect', JSON.stringify({ after_ms: frame.afterMs }))}`
  }
}

/** JSON may be written over several lines, between its values. */
function block(name: string, json: string): string {
  const data = /[\r\n]/.test(json) ? json.replace(/\r\n|\r|\n/g, '\ndata: ') : json
  return `event: ${name}\ndata: ${data}\n\n`
}
