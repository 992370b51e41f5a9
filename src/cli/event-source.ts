// The source of the events that `millrace produce` publishes.

import type { EventInput } from '../event/event-input.ts'

export interface EventSource {
  /**
   * The next event, valid until the next call; null when none is buffered, then call `fill()`. Throws for an event that
   * does not fit in a record batch or is invalid; the next call continues after it.
   */
  take(): EventInput | null
  /** Buffers more events; resolves with false at the end of the source. */
  fill(): Promise<boolean>
  /** Closes the file or stream. */
  close(): void
}
