// What the topologies have in common: each call goes to the master of its key, and its error is mapped. A topology finds
// the master.

import {
  type DurableReply,
  type OnMessage,
  type RedisConnection,
  type RedisNode,
  type Reply,
  type ScriptCall,
  toFailure,
} from './redis-connection.ts'
import type { RedisMaster } from './redis-master.ts'
import { Subscriptions } from './subscriptions.ts'
import type { TopologyOptions } from './topology.ts'

export type Work<T> = (master: RedisMaster, needsAsking: boolean) => Promise<T>

export abstract class RoutedConnection implements RedisConnection {
  protected readonly options: TopologyOptions
  protected readonly subscriptions = new Subscriptions((channel, onMessage) =>
    this.route(channel, async (master) => {
      await master.subscribe(channel, onMessage)
      return master
    }),
  )
  readonly #changeListeners: (() => void)[] = []

  constructor(options: TopologyOptions) {
    this.options = options
  }

  /**
   * Connects.
   * Errors: `unavailable` when no server is reachable, `failed_precondition` when they are not of the kind that the URL
   * names, or the login is refused.
   */
  abstract connect(): Promise<void>

  abstract masters(): readonly RedisNode[]

  abstract findMaster(maxWaitMs: number): Promise<boolean>

  abstract close(): void

  /** Runs the work at the master of a key. Rejects with the unmapped error of the server or the client. */
  protected abstract route<T>(key: string, work: Work<T>): Promise<T>

  run(...call: ScriptCall): Promise<Reply> {
    return this.#send(call[1][0]!, (master, needsAsking) => master.run(call, needsAsking))
  }

  runDurably(...call: ScriptCall): Promise<DurableReply> {
    return this.#send(call[1][0]!, (master, needsAsking) => master.runDurably(call, needsAsking))
  }

  command(...words: readonly (string | number)[]): Promise<Reply> {
    const all = words.map(String)
    return this.#send(all[1]!, (master, needsAsking) => master.send(all, needsAsking))
  }

  async subscribe(channel: string, onMessage: OnMessage): Promise<void> {
    try {
      await this.subscriptions.add(channel, onMessage)
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }

  onMastersChanged(listener: () => void): void {
    this.#changeListeners.push(listener)
  }

  protected mastersChanged(): void {
    for (const listener of this.#changeListeners) listener()
  }

  async #send<T>(key: string, work: Work<T>): Promise<T> {
    try {
      return await this.route(key, work)
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }
}
