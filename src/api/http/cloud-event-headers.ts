// A CloudEvent in binary mode: attributes in `ce-` headers, the data in the body as it is
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3.1).

import { isUtf8 } from 'node:buffer'
import { MillraceError } from '../../errors.ts'
import type { EventParts } from '../../event/record-batch.ts'
import { isFault, partsOfCloudEvent, requiredAttributes } from './cloud-event.ts'

const prefix = 'ce-'

/** Name and value of each header, one behind the other, as Node has them in `rawHeaders`. */
type RawHeaders = readonly string[]

/**
 * Whether the headers make a request binary. Throws `invalid_event` when there are `ce-` headers but not all that are
 * required: taken as plain JSON, such a request would lose them.
 */
export function isBinaryMode(rawHeaders: RawHeaders): boolean {
  const names = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase()
    if (name.startsWith(prefix)) names.add(name)
  }
  if (names.size === 0) return false
  const missing = requiredAttributes.map((name) => `${prefix}${name}`).filter((name) => !names.has(name))
  if (missing.length === 0) return true
  throw new MillraceError('invalid_event', `of the CloudEvents headers ${missing.join(', ')} is missing`, {
    field: missing[0] as string,
  })
}

/** The event of a request in binary mode. Throws `invalid_event` naming the header that is wrong. */
export function readBinaryEvent(rawHeaders: RawHeaders, contentType: string | undefined, body: Uint8Array): EventParts {
  const attributes = new Map<string, string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const header = rawHeaders[at]!.toLowerCase()
    if (!header.startsWith(prefix)) continue
    const name = header.slice(prefix.length)
    if (name === 'datacontenttype') throw wrong(header, 'is not a CloudEvents header: content-type says it')
    if (attributes.has(name)) throw wrong(header, 'is given twice')
    const value = decodeHeaderValue(rawHeaders[at + 1]!)
    if (value === null) throw wrong(header, 'is not percent-encoded UTF-8')
    attributes.set(name, value)
  }
  // Without a type the bytes are just bytes (RFC 9110, section 8.3).
  if (contentType !== undefined) attributes.set('datacontenttype', contentType)
  else if (body.length > 0) attributes.set('datacontenttype', 'application/octet-stream')
  const parts = partsOfCloudEvent(attributes, body)
  if (isFault(parts)) throw wrong(`${prefix}${parts.attribute}`, parts.problem)
  return parts
}

/**
 * The text that a header's value stands for: double quotes and their escapes are taken off first, then percent escapes
 * are decoded once. Null when the bytes are no UTF-8 or an escape is broken.
 */
export function decodeHeaderValue(value: string): string | null {
  const text = value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? unquote(value) : value
  // Node gives each byte of a header as one character.
  const bytes = Buffer.from(text, 'latin1')
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    let byte = bytes[at]!
    if (byte === 0x25) {
      const hex = text.slice(at + 1, at + 3)
      if (!/^[0-9A-Fa-f]{2}$/.test(hex)) return null
      byte = Number.parseInt(hex, 16)
      at += 2
    }
    bytes[length++] = byte
  }
  const decoded = bytes.subarray(0, length)
  return isUtf8(decoded) ? decoded.toString('utf8') : null
}

function unquote(value: string): string {
  return value.slice(1, -1).replaceAll(/\\(.)/g, '$1')
}

function wrong(header: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${header} ${problem}`, { field: header })
}
