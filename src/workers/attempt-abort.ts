// The AbortController of an attempt. Its signal is made when it is first asked for: an attempt outside this thread needs
// none.

import type { AbortReason } from './define-handler.ts'

export class AttemptAbort {
  #controller: AbortController | null = null
  #reason: AbortReason | null = null
  /** Called at the abort, for what needs no signal. */
  onAbort: ((reason: AbortReason) => void) | null = null

  /** Null: not aborted. */
  get reason(): AbortReason | null {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#reason !== null) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** The first reason counts. */
  abort(reason: AbortReason): void {
    if (this.#reason !== null) return
    this.#reason = reason
    this.#controller?.abort(reason)
    this.onAbort?.(reason)
  }
}
