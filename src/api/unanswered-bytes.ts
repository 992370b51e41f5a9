// Limits the bytes of messages that the whole server has read and not yet answered.
//
// Job: keep a thousand busy streams from holding a thousand times the limit of one stream. A stream may always have one
// message, so none starves behind others that wait for room in another topic or lane.

export interface Reader {
  /** Called once there is room again. */
  readMore(): void
}

export class UnansweredBytes {
  readonly #maxBytes: number
  readonly #waiting = new Set<Reader>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether a reader may read more. If not, its `readMore` is called when there is room. */
  hasRoomFor(reader: Reader): boolean {
    if (this.#bytes < this.#maxBytes) return true
    this.#waiting.add(reader)
    return false
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  release(bytes: number): void {
    this.#bytes -= bytes
    for (const reader of this.#waiting) {
      if (this.#bytes >= this.#maxBytes) return
      this.#waiting.delete(reader)
      reader.readMore()
    }
  }

  forget(reader: Reader): void {
    this.#waiting.delete(reader)
  }
}
