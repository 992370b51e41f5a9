// Writes log lines to a stream that may be slow, full or closed.
//
// Job: never block or end the process; count lines that could not be written. A Node stream buffers in memory what the
// pipe does not accept, so the buffered bytes are bounded here. (An fs.write on a full pipe would block a thread, and
// process.exit would wait for that thread for ever.)

import type { Writable } from 'node:stream'

const maxWaitingBytes = 1024 * 1024

export class LogDestination {
  readonly #stream: Writable
  readonly #toText: (line: string) => string
  readonly #written: (error?: Error | null) => void
  #linesLost = 0

  constructor(stream: Writable, toText: (line: string) => string) {
    this.#stream = stream
    this.#toText = toText
    this.#written = (error) => {
      if (error) this.#linesLost++
    }
    // Without an error listener, EPIPE would end the process when the reader closes. `#written` counts the lost lines.
    if (!stream.listeners('error').includes(ignoreError)) stream.on('error', ignoreError)
  }

  get linesLost(): number {
    return this.#linesLost
  }

  write(line: string): void {
    if (this.#stream.writableLength > maxWaitingBytes || this.#stream.destroyed) {
      this.#linesLost++
      return
    }
    this.#stream.write(this.#toText(line), this.#written)
  }
}

function ignoreError(): void {}
