// Reads a JSON body of one event or an array of events.
//
// A body that is not JSON is refused as a whole. An invalid event in valid JSON is refused alone.

import { MillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import { describeJsonFault, type JsonText, skipJsonSpace } from '../../lib/json/json-text.ts'
import { beginsWithByteOrderMark, byteOrderMarkFault } from '../../lib/utf8.ts'
import type { EventDrafts } from './event-drafts.ts'
import type { EventReader } from './event-reader.ts'
import { isSyntaxFault, JsonMembers, skipJsonValue } from './json-members.ts'

const comma = 0x2c
const openArray = 0x5b
const closeArray = 0x5d
const openObject = 0x7b

/** What a body must hold: an event, an array of events, or either. */
export type JsonBodyShape = 'one' | 'many' | 'any'

/** Reads every event of the body. Throws `invalid_event` when the body is not JSON or has another shape. */
export function readJsonBody(text: JsonText, shape: JsonBodyShape, reader: EventReader, drafts: EventDrafts): void {
  const body = text.bytes
  const members = new JsonMembers(text)
  let at = skipJsonSpace(body, 0, body.length)
  const first = body[at]
  if (first === openObject && shape !== 'many') {
    at = readOne(body, at, 0, members, reader, drafts)
  } else if (first === openArray && shape !== 'one') {
    at = readMany(body, at, members, reader, drafts)
  } else {
    throw wrongShape(text, shape)
  }
  at = skipJsonSpace(body, at, body.length)
  if (at < body.length) throw notJson(at)
}

function readMany(
  body: Uint8Array,
  start: number,
  members: JsonMembers,
  reader: EventReader,
  drafts: EventDrafts,
): number {
  let at = skipJsonSpace(body, start + 1, body.length)
  if (body[at] === closeArray) return at + 1
  for (let index = 0; ; index++) {
    if (index === limits.maxEventsPerMessage) {
      const problem = `the body has more than ${limits.maxEventsPerMessage} events: send several requests, or NDJSON`
      throw new MillraceError('too_many_events', problem, { field: 'body' })
    }
    at = skipJsonSpace(body, readOne(body, at, index, members, reader, drafts), body.length)
    if (body[at] === closeArray) return at + 1
    if (body[at] !== comma) throw notJson(at)
    at = skipJsonSpace(body, at + 1, body.length)
  }
}

/** Reads the event that begins at `start`; returns where it ends. */
function readOne(
  body: Uint8Array,
  start: number,
  index: number,
  members: JsonMembers,
  reader: EventReader,
  drafts: EventDrafts,
): number {
  if (body[start] !== openObject) {
    drafts.refuse(index, '', 'an event must be a JSON object')
    return endOfValue(members.text, start)
  }
  const event = reader.read(members.reset(start, body.length))
  if (members.brokenAt >= 0) throw notJson(members.brokenAt)
  if (event === null) drafts.refuse(index, reader.id, reader.fault)
  else drafts.add(index, event)
  return members.end
}

function endOfValue(text: JsonText, start: number): number {
  const body = text.bytes
  const end = text.endOfValue(start, body.length)
  if (end >= 0) return end
  const skipped = isSyntaxFault(describeJsonFault(end, 0)) ? -1 : skipJsonValue(body, start, body.length)
  if (skipped < 0) throw notJson(start)
  return skipped
}

function notJson(at: number): MillraceError {
  return new MillraceError('invalid_event', `the body is not valid JSON (at byte ${at})`, { field: 'body' })
}

function wrongShape(text: JsonText, shape: JsonBodyShape): MillraceError {
  const body = text.bytes
  const fail = (problem: string) => new MillraceError('invalid_event', `the body ${problem}`, { field: 'body' })
  if (body.length === 0) return fail('is empty')
  if (beginsWithByteOrderMark(body, 0)) return fail(byteOrderMarkFault)
  if (text.endOfValue(0, body.length) < 0) return notJson(skipJsonSpace(body, 0, body.length))
  if (shape === 'one')
    return fail('must be one JSON object; a batch has content-type application/cloudevents-batch+json')
  if (shape === 'many') return fail('must be a JSON array of events')
  return fail('must be a JSON object, or an array of them')
}
