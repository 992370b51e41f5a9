// Samples a process's memory ten times a second.

import { rssBytesOf } from './process-usage.ts'

const pollMs = 100

export interface RssSeen {
  readonly highestBytes: number
  readonly lastBytes: number
}

export class RssWatch {
  readonly #pid: number
  readonly #timer: NodeJS.Timeout
  #highestBytes = 0

  constructor(pid: number) {
    this.#pid = pid
    this.#timer = setInterval(() => this.#sample(), pollMs)
  }

  /** The highest and the latest value since the last call. */
  take(): RssSeen {
    const lastBytes = this.#sample()
    const seen = { highestBytes: this.#highestBytes, lastBytes }
    this.#highestBytes = 0
    return seen
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #sample(): number {
    const bytes = rssBytesOf(this.#pid)
    this.#highestBytes = Math.max(this.#highestBytes, bytes)
    return bytes
  }
}
