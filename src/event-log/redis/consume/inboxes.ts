// The inboxes of this process: settle.lua publishes a reply on the channel of its inbox when it is stored.
//
// A channel stays subscribed until the connection is closed: a process has few inboxes, and uses each until it ends.

import type { ReplyListener } from '../../replies.ts'
import type { RedisConnection } from '../connection/redis-connection.ts'

interface Inbox {
  readonly listeners: Set<ReplyListener>
  readonly subscribed: Promise<void>
}

export class Inboxes {
  readonly #connection: Pick<RedisConnection, 'subscribe'>
  /** By channel. */
  readonly #inboxes = new Map<string, Inbox>()

  constructor(connection: Pick<RedisConnection, 'subscribe'>) {
    this.#connection = connection
  }

  /** Resolves when the channel is subscribed, with what ends it. Errors: as RedisConnection.subscribe. */
  async listen(channel: string, listener: ReplyListener): Promise<() => void> {
    const { listeners, subscribed } = this.#inboxes.get(channel) ?? this.#subscribe(channel)
    listeners.add(listener)
    await subscribed
    return () => listeners.delete(listener)
  }

  #subscribe(channel: string): Inbox {
    const listeners = new Set<ReplyListener>()
    const subscribed = this.#connection.subscribe(channel, (message) => {
      for (const listener of listeners) {
        if (message === null) listener.onMissed()
        else listener.onReply(...replyIn(message))
      }
    })
    const inbox = { listeners, subscribed }
    this.#inboxes.set(channel, inbox)
    subscribed.catch(() => {
      listeners.clear()
      this.#inboxes.delete(channel)
    })
    return inbox
  }
}

/** `<length of the id> <id><reply>` */
function replyIn(message: Buffer): [id: string, bytes: Uint8Array] {
  const start = message.indexOf(' ') + 1
  const end = start + Number(message.toString('latin1', 0, start))
  return [message.toString('utf8', start, end), message.subarray(end)]
}
