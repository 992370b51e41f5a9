// Computes the row key of an event (docs/tables.md) independently of the product, so that a difference is noticed.

import { createHash } from 'node:crypto'

const namespace = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex')
const uuidForm = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/

/** UUIDv5 over source, a zero byte and id, as 32 hexadecimal digits. */
export function uuidV5(source: string, id: string): string {
  const hash = createHash('sha1')
    .update(Buffer.concat([namespace, Buffer.from(source), Buffer.of(0), Buffer.from(id)]))
    .digest('hex')
  const variant = ((Number.parseInt(hash[16] as string, 16) & 3) | 8).toString(16)
  return `${hash.slice(0, 12)}5${hash.slice(13, 16)}${variant}${hash.slice(17, 32)}`
}

/** The possible row keys of an event, the usual one first; the second is for a UUID that another source has used. */
export function rowKeys(source: string, id: string): readonly string[] {
  const own = uuidV5(source, id)
  return uuidForm.test(id) ? [id.replaceAll('-', '').toLowerCase(), own] : [own]
}

/** Source and id, with a UUID in lower case, so that all spellings of one event have the same identity. */
export function identityOf(source: string, id: string): string {
  return `${source}\0${uuidForm.test(id) ? id.toLowerCase() : id}`
}
