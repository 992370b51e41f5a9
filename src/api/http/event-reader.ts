// What the JSON forms of an event have in common: a reader of the members of one object.
//
// A reader returns the event's parts, or null with the reason in `fault`. It never throws, so that an invalid event
// does not affect its neighbours.

import type { EventParts } from '../../event/record-batch.ts'
import { isJsonString, type JsonMembers, jsonText } from './json-members.ts'

export interface EventReader {
  /** Why the last event was rejected; names the field. */
  readonly fault: string
  /** The id of the last event, if it was read. */
  readonly id: string
  /**
   * Reads the current object of `members` to its end. Null when it is rejected, or the text is broken
   * (`members.brokenAt`).
   */
  read(members: JsonMembers): EventParts | null
}

const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/

/** Decodes a JSON string of base64 (RFC 4648, padded); null when the value is not one. */
export function readBase64(members: JsonMembers): Buffer | null {
  const { bytes, valueStart, valueEnd } = members
  if (!isJsonString(bytes, valueStart)) return null
  const text = jsonText(bytes, valueStart, valueEnd)
  return text.length % 4 === 0 && base64Pattern.test(text) ? Buffer.from(text, 'base64') : null
}

/**
 * The payload of a `data` member: the JSON text as it was sent. Only when the content type is not JSON and the value is
 * a string, the payload is the string's text, as in the CloudEvents JSON format.
 */
export function payloadOf(bytes: Uint8Array, start: number, end: number, isJson: boolean): Uint8Array {
  return !isJson && isJsonString(bytes, start) ? Buffer.from(jsonText(bytes, start, end)) : bytes.subarray(start, end)
}
