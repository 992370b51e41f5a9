// The open streams, so that a stopping server can end each of them.

export interface OpenCall {
  /** The server is stopping: finish messages in flight, then end. */
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
