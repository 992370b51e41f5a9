// JSON texts (RFC 8259) among some bytes: where a value ends, or what is wrong with it, without building anything from it.
//
// Stricter than JSON.parse where a database or a reader would stumble later: depth is bounded, and neither the NUL escape
// nor a lone surrogate passes, for PostgreSQL's jsonb takes neither. Numbers keep their text: 1e400000 is JSON.
//
// The scan itself is json-scan.wat; here is what is around it.

import { readFileSync } from 'node:fs'

/** Containers may nest this deep. */
export const maxJsonDepth = 64

/** In the order of the kinds in json-scan.wat. */
const faultMessages = [
  'is not valid JSON',
  `nests deeper than ${maxJsonDepth} levels`,
  'has the escape \\u0000, which no database text can hold',
  'has half a surrogate pair as a \\u escape',
  'is not valid UTF-8',
] as const

/** What a negative result means: continues "the data ..." and says at which byte, counted from `start`. */
export function describeJsonFault(result: number, start: number): string {
  const encoded = -1 - result
  return `${faultMessages[encoded % 8] ?? faultMessages[0]} (at byte ${Math.floor(encoded / 8) - start})`
}

/** What is used of it here: TypeScript has its types only together with those of a browser. */
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

/** The scan reads so many bytes at once. */
const blockBytes = 16

/** A fault's place takes 28 bits. */
const maxTextBytes = 2 ** 28 - 1

/** Scans a copy of the bytes that were loaded last. Its memory grows to the longest of them and stays so. */
export class JsonText {
  readonly #scan = new WebAssembly.Instance(module).exports as JsonScan
  #memory = new Uint8Array(this.#scan.memory.buffer)
  #bytes: Uint8Array = new Uint8Array(0)

  /** What was loaded. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Takes up to `maxTextBytes` bytes. Positions are offsets into them from now on. */
  load(bytes: Uint8Array): this {
    if (bytes.length > maxTextBytes) throw new RangeError(`a text of ${bytes.length} bytes is too long to be scanned`)
    const lacking = bytes.length + blockBytes - this.#memory.length
    if (lacking > 0) {
      this.#scan.memory.grow(Math.ceil(lacking / memoryPageBytes))
      this.#memory = new Uint8Array(this.#scan.memory.buffer)
    }
    this.#memory.set(bytes)
    this.#bytes = bytes
    return this
  }

  /** Checks that `start` to `end` is exactly one JSON value, white space around it allowed. 0 when it is, else a fault. */
  check(start: number, end: number): number {
    return this.#scan.check(start, end)
  }

  /** The end of the JSON value that begins at or after `start` (white space is skipped), or a fault below zero. */
  endOfValue(start: number, end: number): number {
    return this.#scan.value(start, end)
  }

  /** Whether the bytes from `start` to `end` are ASCII and none of them is 0: then every database takes them as text. */
  isPlain(start: number, end: number): boolean {
    return this.#scan.plain(start, end) === 1
  }
}

const isSpace = new Uint8Array(256)
for (const byte of [0x20, 0x09, 0x0a, 0x0d]) isSpace[byte] = 1

/** First byte after the white space from `at` on. */
export function skipJsonSpace(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && isSpace[bytes[at]!] === 1) at++
  return at
}
