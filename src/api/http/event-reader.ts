// What the forms of an event in JSON have in common: a reader that goes through the members of one object.
//
// A reader answers the event's parts, or null and says in `fault` what is wrong with it; it never throws, so that a bad
// event costs its neighbours nothing.

import type { EventParts } from '../../event/record-batch.ts'
import { isJsonString, type JsonMembers, jsonText } from './json-members.ts'

export interface EventReader {
  /** Why the last event may not be taken; names the field. */
  readonly fault: string
  /** Its id, as far as it was read. */
  readonly id: string
  /**
   * Reads the object that `members` stands at, to its end. Null when it may not be taken, or when the text is broken
   * (`members.brokenAt`).
   */
  read(members: JsonMembers): EventParts | null
}

const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/

/** The bytes of a JSON string of base64 (RFC 4648, padded); null when the value is none. */
export function readBase64(members: JsonMembers): Buffer | null {
  const { bytes, valueStart, valueEnd } = members
  if (!isJsonString(bytes, valueStart)) return null
  const text = jsonText(bytes, valueStart, valueEnd)
  return text.length % 4 === 0 && base64Pattern.test(text) ? Buffer.from(text, 'base64') : null
}

/**
 * The payload that a `data` member stands for: the JSON text as it was sent. Only where the content type is not JSON and
 * the value a string is it that string's text, as in the CloudEvents JSON format.
 */
export function payloadOf(bytes: Uint8Array, start: number, end: number, isJson: boolean): Uint8Array {
  return !isJson && isJsonString(bytes, start) ? Buffer.from(jsonText(bytes, start, end)) : bytes.subarray(start, end)
}
