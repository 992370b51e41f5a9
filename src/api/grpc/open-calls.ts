// The streams that are open, so that a server that stops can ask each to finish.

export interface OpenCall {
  /** The server stops: finish what was begun, then end. */
  drain(): void
}

export class OpenCalls {
  readonly #calls = new Set<OpenCall>()
  #draining = false

  add(call: OpenCall): void {
    this.#calls.add(call)
    if (this.#draining) call.drain()
  }

  delete(call: OpenCall): void {
    this.#calls.delete(call)
  }

  drain(): void {
    this.#draining = true
    for (const call of [...this.#calls]) call.drain()
  }
}
