// Checks JSON texts (RFC 8259) in bytes without building objects: finds the end of a value, or what is wrong with it.
//
// Stricter than JSON.parse where a database or a reader would fail later: the depth is bounded, and the NUL escape and
// lone surrogates are rejected because PostgreSQL's jsonb rejects both, and numbers are bounded by their digits because it
// writes them out: 8 bytes, 1e131000, are read back as 131,001.
//
// The scan itself is json-scan.wat; this file loads and calls it.

import { readFileSync } from 'node:fs'

/** Containers may nest this deep. */
export const maxJsonDepth = 64

/** Digits of one number written out, such as 4 of 1e3 and of 0.001: more than any double takes. */
export const maxNumberDigits = 400

/** How many more bytes the numbers of one text may take, written out, than were sent. */
export const maxNumberGrowthBytes = 1024 * 1024

/** In the order of the kinds in json-scan.wat. */
const faultMessages = [
  'is not valid JSON',
  `nests deeper than ${maxJsonDepth} levels`,
  'has the escape \\u0000, which no database text can hold',
  'has half a surrogate pair as a \\u escape',
  'is not valid UTF-8',
  `has a number that takes more than ${maxNumberDigits} digits written out`,
  `has numbers that, written out, take more than ${maxNumberGrowthBytes} bytes beyond what was sent`,
] as const

/** Describes a negative result, as a continuation of "the data ...", with the byte offset counted from `start`. */
export function describeJsonFault(result: number, start: number): string {
  const encoded = -1 - result
  return `${faultMessages[encoded % 8] ?? faultMessages[0]} (at byte ${Math.floor(encoded / 8) - start})`
}

/** The part that is used here: TypeScript has these types only in its DOM library. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

interface JsonScan {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number }
  value(at: number, end: number): number
  check(at: number, end: number): number
  plain(at: number, end: number): number
}

const module = new WebAssembly.Module(readFileSync(new URL('json-scan.wasm', import.meta.url)))

const memoryPageBytes = 64 * 1024

/** How many bytes the scan reads at once. */
const blockBytes = 16

/** The position in a fault has 28 bits. */
const maxTextBytes = 2 ** 28 - 1

/** Scans a copy of the bytes that were loaded last. Its memory grows to the longest text so far and does not shrink. */
export class JsonText {
  readonly #scan = new WebAssembly.Instance(module).exports as JsonScan
  #memory = new Uint8Array(this.#scan.memory.buffer)
  #bytes: Uint8Array = new Uint8Array(0)

  /** The bytes that were loaded last. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Loads at most `maxTextBytes` bytes. From now on positions are offsets into them. */
  load(bytes: Uint8Array): this {
    if (bytes.length > maxTextBytes)
      throw new RangeError(`text has ${bytes.length} bytes; the limit is ${maxTextBytes}`)
    const lacking = bytes.length + blockBytes - this.#memory.length
    if (lacking > 0) {
      this.#scan.memory.grow(Math.ceil(lacking / memoryPageBytes))
      this.#memory = new Uint8Array(this.#scan.memory.buffer)
    }
    this.#memory.set(bytes)
    this.#bytes = bytes
    return this
  }

  /**
   * Returns 0 if `start` to `end` is exactly one JSON value that a database can return, white space around it allowed;
   * else a fault below 0.
   */
  check(start: number, end: number): number {
    return this.#scan.check(start, end)
  }

  /**
   * Returns the end of the JSON value at `start` (leading white space is skipped), whatever its numbers, or a fault
   * below 0.
   */
  endOfValue(start: number, end: number): number {
    return this.#scan.value(start, end)
  }

  /** Whether the bytes from `start` to `end` are ASCII without NUL: every database accepts them as text. */
  isPlain(start: number, end: number): boolean {
    return this.#scan.plain(start, end) === 1
  }
}

const isSpace = new Uint8Array(256)
for (const byte of [0x20, 0x09, 0x0a, 0x0d]) isSpace[byte] = 1

/** The position of the first byte from `at` on that is not white space. */
export function skipJsonSpace(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && isSpace[bytes[at]!] === 1) at++
  return at
}
