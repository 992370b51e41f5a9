// Channel subscriptions that follow their slot. When the master of a slot changes they are moved, and their listeners
// called, because messages may have been missed.

import type { OnMessage } from './redis-connection.ts'
import type { RedisMaster } from './redis-master.ts'

interface Subscription {
  readonly channel: string
  readonly onMessage: OnMessage
  /** Where it is subscribed; null: nowhere. */
  master: RedisMaster | null
}

/** Subscribes at the master of the channel's slot, and returns that master. */
export type Listen = (channel: string, onMessage: OnMessage) => Promise<RedisMaster>

export class Subscriptions {
  readonly #listen: Listen
  readonly #all = new Set<Subscription>()

  constructor(listen: Listen) {
    this.#listen = listen
  }

  async add(channel: string, onMessage: OnMessage): Promise<void> {
    this.#all.add({ channel, onMessage, master: await this.#listen(channel, onMessage) })
  }

  /** Marks the master's subscriptions as lost: it no longer has the slot of some of its channels. */
  forget(master: RedisMaster): void {
    for (const subscription of this.#all) if (subscription.master === master) subscription.master = null
  }

  /** Moves the subscriptions that are at the wrong master. Returns whether all are at the right one now. */
  async move(masterOf: (channel: string) => RedisMaster | null): Promise<boolean> {
    let areAllRight = true
    for (const subscription of this.#all) {
      const { channel, onMessage, master } = subscription
      if (master !== null && master === masterOf(channel)) continue
      try {
        subscription.master = await this.#listen(channel, onMessage)
        if (subscription.master !== master) master?.unsubscribe(channel)
        onMessage(null)
      } catch {
        areAllRight = false
      }
    }
    return areAllRight
  }
}
