// Where log lines go: a stream that may be slow, full or closed.
//
// Job: never hold up the process and never end it; count what could not be written. Streams of Node write what the
// pipe takes at once and keep the rest in memory, so the bound is on what they keep. (An fs.write on a full pipe would
// wait in a thread, and process.exit would then wait for that thread for ever.)

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
    // A stream without a listener ends the process when its reader goes away (EPIPE). The loss is counted per line.
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
