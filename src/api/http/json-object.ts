// The members of a body that is one JSON object with known keys. Values are slices of the body until they are read.

import { MillraceError } from '../../errors.ts'
import { type JsonText, skipJsonSpace } from '../../lib/json/json-text.ts'
import { beginsWithByteOrderMark, byteOrderMarkFault } from '../../lib/utf8.ts'
import { JsonMembers } from './json-members.ts'

export interface JsonObjectForm {
  readonly names: readonly string[]
  /** For an unknown member, before the names of the known ones: "a redrive has". */
  readonly subject: string
  /** For a body that is no object. */
  readonly advice: string
}

/**
 * Throws `invalid_event`, with the bad member as its field.
 * @param text to be reused: a new one is an instance of WebAssembly.
 * @param read reads the value at hand.
 */
export function readJsonObject(
  text: JsonText,
  body: Uint8Array,
  { names, subject, advice }: JsonObjectForm,
  read: (members: JsonMembers) => unknown,
): Record<string, unknown> {
  const start = skipJsonSpace(body, 0, body.length)
  const members = new JsonMembers(text.load(body))
  if (beginsWithByteOrderMark(body, start)) throw wrongMember('body', byteOrderMarkFault)
  if (body[start] !== 0x7b) throw wrongMember('body', `must be a JSON object; ${advice}`)
  const found: Record<string, unknown> = {}
  members.reset(start, body.length)
  while (members.next()) {
    const { name, fault } = members
    if (!names.includes(name)) throw wrongMember(name.slice(0, 80), `is unknown; ${subject} ${names.join(', ')}`)
    if (Object.hasOwn(found, name)) throw wrongMember(name, 'is given twice')
    if (fault !== '') throw wrongMember(name, fault)
    found[name] = read(members)
  }
  if (members.brokenAt >= 0 || skipJsonSpace(body, members.end, body.length) < body.length) {
    throw wrongMember('body', 'is not valid JSON')
  }
  return found
}

export function wrongMember(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
