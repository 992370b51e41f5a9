// log.mark records how far the log was durable. SQLite silently treats a damaged or missing WAL as a shorter one; the
// mark is then ahead of the log, and the log is refused.
//
// 16 bytes, little-endian: append number (8), epoch (4), CRC-32 of those 12 (4). It is written in place after each
// COMMIT with appends and not flushed: after a power loss it may be behind the log, never ahead.

import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'

const markBytes = 16

export interface Mark {
  /** The number of the last acknowledged append. */
  readonly appendNumber: number
  readonly epoch: number
}

/**
 * Reads the mark. `unwritten`: no bytes or only zeros, which a power loss may leave of a new mark. `damaged`: a content
 * that no crash can leave.
 */
export function readLogMark(path: string): Mark | 'absent' | 'unwritten' | 'damaged' {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return 'absent'
    throw thrown
  }
  if (bytes.every((byte) => byte === 0) && (bytes.length === 0 || bytes.length === markBytes)) return 'unwritten'
  if (bytes.length !== markBytes || bytes.readUInt32LE(12) !== crc32(bytes.subarray(0, 12))) return 'damaged'
  return { appendNumber: Number(bytes.readBigUInt64LE(0)), epoch: bytes.readUInt32LE(8) }
}

/** The mark of an open log. */
export class LogMark {
  readonly #descriptor: number
  readonly #bytes = Buffer.alloc(markBytes)

  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644)
  }

  write({ appendNumber, epoch }: Mark): void {
    this.#bytes.writeBigUInt64LE(BigInt(appendNumber), 0)
    this.#bytes.writeUInt32LE(epoch, 8)
    this.#bytes.writeUInt32LE(crc32(this.#bytes.subarray(0, 12)), 12)
    writeSync(this.#descriptor, this.#bytes, 0, markBytes, 0)
  }

  flush(): void {
    fsyncSync(this.#descriptor)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
