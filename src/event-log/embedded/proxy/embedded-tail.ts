// Reads a topic without a group. The log's thread waits for entries, this end only asks.

import { lanes } from '../../../event/event.ts'
import type { CursorFound, CursorPlace, LogTail, TailOptions, TailPage, TopicCursor } from '../../tail.ts'
import { keptEntries } from './kept-entries.ts'
import type { LogCalls } from './log-calls.ts'

export class EmbeddedTail implements LogTail {
  readonly #calls: LogCalls
  readonly #nextCall: () => number

  /** @param nextCall creates the number of a call. */
  constructor(calls: LogCalls, nextCall: () => number) {
    this.#calls = calls
    this.#nextCall = nextCall
  }

  async cursorAt(topic: string, place: CursorPlace): Promise<CursorFound> {
    this.#calls.checkUsable()
    return await this.#calls.ask('cursorAt', { topic, place })
  }

  async read(topic: string, from: TopicCursor, { signal, maxBytes, maxWaitMs }: TailOptions): Promise<TailPage> {
    const calls = this.#calls
    calls.checkUsable()
    const nothing: TailPage = { entries: [], cursor: from, gap: null }
    const isAborted = () => signal?.aborted === true
    if (isAborted()) return nothing
    const call = this.#nextCall()
    const reading = calls.ask('tail', { topic, from, call, maxBytes, maxWaitMs })
    const abort = () => void calls.ask('abort', call).catch(() => {})
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const { streams, cursor, gap, ...kept } = await reading
      if (isAborted()) return nothing
      const entries = keptEntries(kept, cursor.epoch, (row) => {
        const index = streams[row]!
        return { topic, partition: Math.floor(index / lanes.length), lane: lanes[index % lanes.length]! }
      })
      return { entries, cursor, gap }
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
}
