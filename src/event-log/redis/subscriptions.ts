// Channels that are listened to wherever they live. When their master changes they are moved, and their listeners called,
// for nobody knows what was said meanwhile.

import type { RedisMaster } from './redis-master.ts'

interface Subscription {
  readonly channel: string
  readonly onMessage: () => void
  /** Where it listens; null: nowhere. */
  master: RedisMaster | null
}

/** Listens at the master where the channel lives, and answers which that was. */
export type Listen = (channel: string, onMessage: () => void) => Promise<RedisMaster>

export class Subscriptions {
  readonly #listen: Listen
  readonly #all = new Set<Subscription>()

  constructor(listen: Listen) {
    this.#listen = listen
  }

  async add(channel: string, onMessage: () => void): Promise<void> {
    this.#all.add({ channel, onMessage, master: await this.#listen(channel, onMessage) })
  }

  /** The master does not have some of its channels any more. */
  forget(master: RedisMaster): void {
    for (const subscription of this.#all) if (subscription.master === master) subscription.master = null
  }

  /** Moves what does not listen where it should. Answers whether all do now. */
  async move(masterOf: (channel: string) => RedisMaster | null): Promise<boolean> {
    let areAllRight = true
    for (const subscription of this.#all) {
      const { channel, onMessage, master } = subscription
      if (master !== null && master === masterOf(channel)) continue
      try {
        subscription.master = await this.#listen(channel, onMessage)
        if (subscription.master !== master) master?.unsubscribe(channel)
        onMessage()
      } catch {
        areAllRight = false
      }
    }
    return areAllRight
  }
}
