// Reads a CloudEvent in binary mode: attributes in `ce-` headers, the data as the body
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, section 3.1).

import { isUtf8 } from 'node:buffer'
import { MillraceError } from '../../errors.ts'
import type { EventParts } from '../../event/record-batch.ts'
import { isFault, partsOfCloudEvent, requiredAttributes } from './cloud-event.ts'

const prefix = 'ce-'

/** Alternating names and values of the headers, as in Node's `rawHeaders`. */
type RawHeaders = readonly string[]

/**
 * Whether a request is in binary mode. Throws `invalid_event` when it has `ce-` headers but not all required ones: read
 * as plain JSON, the request would lose those headers.
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
  throw new MillraceError('invalid_event', `required CloudEvents headers are missing: ${missing.join(', ')}`, {
    field: missing[0] as string,
  })
}

/** The event of a request in binary mode. Throws `invalid_event`, naming the invalid header. */
export function readBinaryEvent(rawHeaders: RawHeaders, contentType: string | undefined, body: Uint8Array): EventParts {
  const attributes = new Map<string, string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const header = rawHeaders[at]!.toLowerCase()
    if (!header.startsWith(prefix)) continue
    const name = header.slice(prefix.length)
    if (name === 'datacontenttype') throw wrong(header, 'is not a CloudEvents header: use content-type instead')
    if (attributes.has(name)) throw wrong(header, 'is given twice')
    const value = decodeHeaderValue(rawHeaders[at + 1]!)
    if (value === null) throw wrong(header, 'is not percent-encoded UTF-8')
    attributes.set(name, value)
  }
  // Without a content type the body counts as application/octet-stream (RFC 9110, section 8.3).
  if (contentType !== undefined) attributes.set('datacontenttype', contentType)
  else if (body.length > 0) attributes.set('datacontenttype', 'application/octet-stream')
  const parts = partsOfCloudEvent(attributes, body)
  if (isFault(parts)) throw wrong(`${prefix}${parts.attribute}`, parts.problem)
  return parts
}

/**
 * Decodes a header's value: removes double quotes and their escapes, then decodes percent escapes once. Null when the
 * result is not UTF-8 or an escape is broken.
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
