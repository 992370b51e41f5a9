// How many events may wait in hand for a place: about as many as begin while the log is read, so that short calls need
// not wait for a read (a commit on the disk) each time. A handler whose calls take much longer than a read has none in hand:
// what waits in the log goes to the process that is free first, and a higher lane goes first.

/** Events in hand lose an attempt when the process is killed. */
const maxEventsAhead = 1000

/** How much longer: its places then wait for a read for a ninth of the time at most. */
const maxCallReads = 8

/** The weight of the newest measurement, and of a call that took longer than those before. */
const weight = 0.1
const slowWeight = 0.3

export class ReadAhead {
  #readMs = 0
  #callMs = Number.POSITIVE_INFINITY

  /** @param ms how long a read took that found events. */
  noteRead(ms: number): void {
    this.#readMs += weight * (ms - this.#readMs)
  }

  /** A slow call counts at once, and is forgotten after many quick ones. */
  noteCall(ms: number): void {
    if (this.#callMs === Number.POSITIVE_INFINITY) this.#callMs = ms
    else this.#callMs += (ms > this.#callMs ? slowWeight : weight) * (ms - this.#callMs)
  }

  /** @param placeEvents events that can be at work at once. */
  events(placeEvents: number): number {
    if (this.#callMs >= maxCallReads * this.#readMs) return 0
    return Math.min(maxEventsAhead, Math.floor((placeEvents * this.#readMs) / Math.max(this.#callMs, 0.001)))
  }
}
