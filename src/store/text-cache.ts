// Caches the strings of texts that repeat often (types, sources, content types), keyed by their bytes.
//
// Decoding a string and encoding it again for SQLite costs more than comparing a dozen bytes. The size is bounded: one
// text per slot, the newest wins, so a flood of different types uses no more memory.

import { sameBytes } from '../lib/utf8.ts'

const slotCount = 256
const maxCachedBytes = 64

export class TextCache {
  readonly #texts: string[] = new Array(slotCount).fill('')
  readonly #lengths = new Uint8Array(slotCount)
  /** The bytes of each slot's text, `maxCachedBytes` apart. */
  readonly #bytes = new Uint8Array(slotCount * maxCachedBytes)

  /** Decodes the bytes from `start` to `end`. */
  textOf(bytes: Buffer, start: number, end: number): string {
    const length = end - start
    if (length > maxCachedBytes || length === 0) return bytes.toString('utf8', start, end)
    let hash = length
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + bytes[at]!) | 0
    const slot = (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (slotCount - 1)
    const slotStart = slot * maxCachedBytes
    if (this.#lengths[slot] !== length || !sameBytes(bytes, start, this.#bytes, slotStart, length)) {
      this.#lengths[slot] = length
      bytes.copy(this.#bytes, slotStart, start, end)
      this.#texts[slot] = bytes.toString('utf8', start, end)
    }
    return this.#texts[slot]!
  }
}
