// One master: commands and scripts, on connections that are opened on demand. It throws the unmapped errors of the
// server or the client; the caller, which chooses the master, maps them.

import type { Scripts } from '../scripts/redis-scripts.ts'
import { NodeConnection, type NodeConnectionOptions } from './node-connection.ts'
import {
  type DurableReply,
  isReply,
  type OnMessage,
  type RedisNode,
  type Replication,
  type Reply,
  type ScriptArgument,
  type ScriptCall,
  toFailure,
} from './redis-connection.ts'
import { type PreparedScript, ReplicatedWriter, sendScript } from './replicated-writer.ts'

export interface RedisMasterOptions extends NodeConnectionOptions {
  readonly name: string
  readonly scripts: Scripts
  /** What `runDurably` waits for; undefined: only for the reply. */
  readonly replication: Replication | undefined
}

export class RedisMaster implements RedisNode {
  readonly name: string
  /** For all commands except WAIT, WAITAOF and subscriptions. */
  readonly connection: NodeConnection
  /** Called when the slot of a subscribed channel has moved away. */
  onChannelMoved: () => void = () => {}
  readonly #options: RedisMasterOptions
  #writer: ReplicatedWriter | null = null
  #subscriber: NodeConnection | null = null
  readonly #listeners = new Map<string, Set<OnMessage>>()
  #isClosed = false

  constructor(options: RedisMasterOptions) {
    this.name = options.name
    this.#options = options
    this.connection = new NodeConnection(options)
    // Sent before anything else, so that no first call gets NOSCRIPT: that reply could be lost like any other.
    this.connection.onReady(() => {
      for (const { text } of Object.values(options.scripts))
        this.connection.send(['SCRIPT', 'LOAD', text]).catch(() => {})
    })
  }

  async command(...words: readonly (string | number)[]): Promise<Reply> {
    try {
      return await this.connection.send(words.map(String))
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }

  /** @param needsAsking whether to send ASKING first, after an ASK redirection, as in the next two. */
  send(words: readonly string[], needsAsking = false): Promise<Reply> {
    if (needsAsking) this.connection.send(['ASKING']).catch(() => {})
    return this.connection.send(words)
  }

  async run(script: ScriptCall, needsAsking: boolean): Promise<Reply> {
    const call = this.#prepare(script, needsAsking)
    try {
      return await sendScript(this.connection, { ...call, isNew: false })
    } catch (thrown) {
      // The server was restarted and has lost its scripts; the script has not run.
      if (!isReply(thrown, 'NOSCRIPT')) throw thrown
      return sendScript(this.connection, { ...call, isNew: true })
    }
  }

  async runDurably(script: ScriptCall, needsAsking: boolean): Promise<DurableReply> {
    const { replication, maxReplyMs } = this.#options
    if (replication === undefined) return { reply: await this.run(script, needsAsking), isReached: true }
    this.#writer ??= new ReplicatedWriter({
      connection: this.#connect(),
      replication,
      maxWaitMs: Math.floor(maxReplyMs / 2),
    })
    return this.#writer.run(this.#prepare(script, needsAsking))
  }

  /** Subscribes to a channel, also after a reconnect. */
  async subscribe(channel: string, onMessage: OnMessage): Promise<void> {
    this.#subscriber ??= this.#makeSubscriber()
    await this.#subscriber.tried
    await this.#subscriber.subscribe(channel, onMessage)
    this.#listeners.set(channel, (this.#listeners.get(channel) ?? new Set()).add(onMessage))
  }

  /** Unsubscribes from a channel. Does not wait, and ignores errors. */
  unsubscribe(channel: string): void {
    this.#listeners.delete(channel)
    this.#subscriber?.unsubscribe(channel).catch(() => {})
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    this.connection.close()
    this.#writer?.close()
    this.#subscriber?.close()
  }

  #prepare([name, keys, args]: ScriptCall, needsAsking: boolean): PreparedScript {
    const words = [String(keys.length), ...keys, ...args.map(toWord)]
    return { script: this.#options.scripts[name], words, needsAsking }
  }

  #makeSubscriber(): NodeConnection {
    const subscriber = this.#connect()
    subscriber.onReady(() => {
      for (const listeners of this.#listeners.values()) for (const listener of listeners) listener(null)
    })
    subscriber.onChannelMoved(() => this.onChannelMoved())
    return subscriber
  }

  #connect(): NodeConnection {
    if (this.#isClosed) throw new Error('the connection was closed')
    return new NodeConnection(this.#options)
  }
}

function toWord(value: ScriptArgument): string | Buffer {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}
