// Which row an event must have, worked out apart from the product so that the two can contradict each other
// (docs/tables.md).

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

/** The row keys that an event may have, the usual one first: the second is for a UUID that another source has used. */
export function rowKeys(source: string, id: string): readonly string[] {
  const own = uuidV5(source, id)
  return uuidForm.test(id) ? [id.replaceAll('-', '').toLowerCase(), own] : [own]
}

/** The same for two spellings of one event: source and id, with a UUID's letters in lower case. */
export function identityOf(source: string, id: string): string {
  return `${source}\0${uuidForm.test(id) ? id.toLowerCase() : id}`
}
