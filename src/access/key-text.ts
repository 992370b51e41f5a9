// The text of an API key: mr_<id>_<secret><checksum>.
//
// Job: make a key, and tell offline whether a text is one. The checksum is for programs that look for leaked keys, and for
// the command line: it proves nothing about who made the key.
// Not its job: whether the key is valid (key-ring.ts).

import { hash, randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const idLength = 12
/** 190 bits. */
const secretLength = 32
/** 62 ** 6 is more than 2 ** 32. */
const checksumLength = 6

/** As docs/keys.md publishes it. */
export const keyPattern = /^mr_([0-9A-Za-z]{12})_[0-9A-Za-z]{38}$/

export type KeyReading = { readonly keyId: string } | { readonly problem: string }

/** A new key. */
export function newKeyText(): string {
  return withChecksum(`mr_${randomDigits(idLength)}_${randomDigits(secretLength)}`)
}

/** Returns the id of a well-formed key; or why the text is none, without repeating the text. */
export function readKey(text: string): KeyReading {
  const [, keyId] = keyPattern.exec(text) ?? []
  if (keyId === undefined) return { problem: 'a key is mr_, 12 letters or digits, _, and 38 letters or digits' }
  if (text !== withChecksum(text.slice(0, -checksumLength))) {
    return { problem: 'the checksum of the key is wrong: a character is missing or was changed' }
  }
  return { keyId }
}

/** What is stored of a key: its SHA-256, 32 bytes. The secret is random, so that a slow hash would add nothing. */
export function hashOfKey(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

function randomDigits(length: number): string {
  return Array.from({ length }, () => digits[randomInt(digits.length)]).join('')
}

/** The text, and the checksum over it. */
export function withChecksum(text: string): string {
  let rest = crc32(text)
  let checksum = ''
  for (let place = 0; place < checksumLength; place++) {
    checksum = digits[rest % digits.length] + checksum
    rest = Math.floor(rest / digits.length)
  }
  return text + checksum
}
