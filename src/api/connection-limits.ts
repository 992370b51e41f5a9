// Limits the number of connections, in total and per client address; gRPC and HTTP together.
//
// A connection above a limit is closed at once: an answer would cost more than the connection.

import type { Socket } from 'node:net'

export interface ConnectionLimitOptions {
  readonly maxTotal?: number | undefined
  readonly maxPerAddress?: number | undefined
}

export class ConnectionLimits {
  readonly #maxTotal: number
  readonly #maxPerAddress: number
  readonly #perAddress = new Map<string, number>()
  #total = 0

  constructor({ maxTotal = 20_000, maxPerAddress = 1_000 }: ConnectionLimitOptions = {}) {
    this.#maxTotal = maxTotal
    this.#maxPerAddress = maxPerAddress
  }

  /** Counts a connection until it closes; returns false, and closes it, when there are too many. */
  admit(socket: Socket): boolean {
    const address = socket.remoteAddress
    const fromAddress = address === undefined ? this.#maxPerAddress : (this.#perAddress.get(address) ?? 0)
    if (address === undefined || this.#total >= this.#maxTotal || fromAddress >= this.#maxPerAddress) {
      socket.destroy()
      return false
    }
    this.#total++
    this.#perAddress.set(address, fromAddress + 1)
    socket.once('close', () => {
      this.#total--
      const left = (this.#perAddress.get(address) ?? 1) - 1
      if (left === 0) this.#perAddress.delete(address)
      else this.#perAddress.set(address, left)
    })
    return true
  }
}
