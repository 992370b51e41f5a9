// Splits a stream of bytes into lines of limited length.

const newline = 0x0a

export class LineSplitter {
  readonly #maxLineBytes: number
  #rest: Buffer = Buffer.alloc(0)
  /** Set within a line that is too long: its bytes are discarded up to its end. */
  #discards = false

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes
  }

  /** Calls `onLine` for each line that ends in the chunk; null stands for a line that was too long. */
  push(chunk: Buffer, onLine: (line: Buffer | null) => void): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    // The rest of the last chunk has no line end in it.
    let from = this.#rest.length
    for (let end = bytes.indexOf(newline, from); end >= 0; end = bytes.indexOf(newline, from)) {
      const line = bytes.subarray(0, end)
      onLine(this.#discards || line.length > this.#maxLineBytes ? null : line)
      this.#discards = false
      bytes = bytes.subarray(end + 1)
      from = 0
    }
    if (bytes.length > this.#maxLineBytes) this.#discards = true
    // Copied, because a view would keep the whole chunk in memory.
    this.#rest = this.#discards ? Buffer.alloc(0) : Buffer.from(bytes)
  }

  /** The text after the last line end; empty when there is none, null when it was too long. */
  finish(): Buffer | null {
    return this.#discards ? null : this.#rest
  }
}
