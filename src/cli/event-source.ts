// Where `millrace produce` takes its events from.

import type { EventInput } from '../client/event-input.ts'

export interface EventSource {
  /**
   * The next event, good until the next call; null when there is none at hand: then `fill()` says whether more come. An
   * event for which there is no place in a record batch throws, and the next call goes on behind it.
   */
  take(): EventInput | null
  /** Resolves with whether `take()` has more to give. */
  fill(): Promise<boolean>
  /** Lets go of what it reads from. */
  close(): void
}
