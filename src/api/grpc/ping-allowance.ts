// How often a connection may send frames that only ask for an answer: HTTP/2 pings and settings.
//
// Job: find a flood (30,000 pings in 4 s) without hurting an honest client. Those ping while they are being answered, to
// measure the line, and may do so very often on a fast one; hence an answer of ours begins the count anew, as in the
// other gRPC servers.

/** Ten in a second; the first SETTINGS frames of a connection are counted too. */
const maxFramesPerWindow = 10
const windowMs = 1000

export class PingAllowance {
  #windowStartMs = Number.NEGATIVE_INFINITY
  #frames = 0

  /** Counts a frame; false when it is one too many. */
  take(nowMs: number): boolean {
    if (nowMs - this.#windowStartMs >= windowMs) {
      this.#windowStartMs = nowMs
      this.#frames = 0
    }
    return ++this.#frames <= maxFramesPerWindow
  }

  /** The peer was sent an answer. */
  reset(): void {
    this.#frames = 0
  }
}
