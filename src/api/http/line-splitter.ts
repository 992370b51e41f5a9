// Cuts a stream of bytes into lines, none of them longer than a bound.

const newline = 0x0a

export class LineSplitter {
  readonly #maxLineBytes: number
  #rest: Buffer = Buffer.alloc(0)
  /** In a line that is too long: its bytes are thrown away up to its end. */
  #discards = false

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes
  }

  /** Calls `onLine` for each line that ends in the chunk; null stands for a line that was too long. */
  push(chunk: Buffer, onLine: (line: Buffer | null) => void): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    // What was looked through before has no end of line in it.
    let from = this.#rest.length
    for (let end = bytes.indexOf(newline, from); end >= 0; end = bytes.indexOf(newline, from)) {
      const line = bytes.subarray(0, end)
      onLine(this.#discards || line.length > this.#maxLineBytes ? null : line)
      this.#discards = false
      bytes = bytes.subarray(end + 1)
      from = 0
    }
    if (bytes.length > this.#maxLineBytes) this.#discards = true
    // A copy: a view would keep the whole chunk in memory.
    this.#rest = this.#discards ? Buffer.alloc(0) : Buffer.from(bytes)
  }

  /** What stands behind the last end of line; empty when the last line was ended, null when it was too long. */
  finish(): Buffer | null {
    return this.#discards ? null : this.#rest
  }
}
