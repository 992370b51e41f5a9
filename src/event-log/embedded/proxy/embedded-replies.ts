// Requests and their replies. All who wait are in this process, so an announcement is a call of a listener, and none is
// missed.

import type { Replies, ReplyListener, ReplyToStore, StoredRequest } from '../../replies.ts'
import type { LogCalls } from './log-calls.ts'

export class EmbeddedReplies implements Replies {
  readonly #calls: LogCalls
  readonly #now: () => number
  /** By topic and inbox. */
  readonly #listeners = new Map<string, Set<ReplyListener>>()

  /** @param now the wall clock, in milliseconds since 1970. */
  constructor(calls: LogCalls, now: () => number) {
    this.#calls = calls
    this.#now = now
  }

  async get(topic: string, group: string, id: string): Promise<StoredRequest | null> {
    this.#calls.checkUsable()
    return await this.#calls.ask('findRequest', { topic, group, id, nowMs: this.#now() })
  }

  async listen(topic: string, inbox: string, listener: ReplyListener): Promise<() => void> {
    this.#calls.checkUsable()
    await this.#calls.ask('findTopic', topic)
    const name = `${topic}/${inbox}`
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener))
    return () => {
      if (listeners.delete(listener) && listeners.size === 0) this.#listeners.delete(name)
    }
  }

  /** To be called when the reply is stored. */
  announce(topic: string, { id, inbox, bytes }: ReplyToStore): void {
    for (const listener of this.#listeners.get(`${topic}/${inbox}`) ?? []) listener.onReply(id, bytes)
  }
}
