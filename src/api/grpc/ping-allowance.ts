// Limits how often a connection may send frames that only require an answer: HTTP/2 pings and settings.
//
// Job: detect a flood (30,000 pings in 4 s) without affecting well-behaved clients. Those ping while they receive
// answers, to measure bandwidth, very often on a fast network. Therefore each answer of the server resets the count, as
// in other gRPC servers.

/** Ten per second; the first SETTINGS frames of a connection count too. */
const maxFramesPerWindow = 10
const windowMs = 1000

export class PingAllowance {
  #windowStartMs = Number.NEGATIVE_INFINITY
  #frames = 0

  /** Counts a frame; returns false when there are too many. */
  take(nowMs: number): boolean {
    if (nowMs - this.#windowStartMs >= windowMs) {
      this.#windowStartMs = nowMs
      this.#frames = 0
    }
    return ++this.#frames <= maxFramesPerWindow
  }

  /** Call when an answer was sent to the peer. */
  reset(): void {
    this.#frames = 0
  }
}
