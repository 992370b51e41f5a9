// One fixed server.

import { type NodeAddress, wrong } from '../../../config/redis-url.ts'
import type { ScriptName } from '../scripts/redis-scripts.ts'
import {
  type DurableReply,
  type RedisConnection,
  type RedisNode,
  type Reply,
  type ScriptArgument,
  toFailure,
} from './redis-connection.ts'
import { RedisMaster } from './redis-master.ts'
import { cannotOpen, modeOf, nameOf, type TopologyOptions } from './topology.ts'

export class StandaloneConnection implements RedisConnection {
  readonly #master: RedisMaster

  private constructor(address: NodeAddress, { logger, reach, ...options }: TopologyOptions) {
    this.#master = new RedisMaster({ ...options, address: reach(address), name: nameOf(address) })
    const { connection } = this.#master
    connection.onLost((error) => logger.warn({ error }, 'the connection to Redis is lost; reconnecting'))
    connection.onReady(() => {
      if (connection.hasBeenReady) logger.info({}, 'reconnected to Redis')
    })
  }

  /**
   * Connects.
   * Errors: `unavailable` when the server is unreachable, `failed_precondition` when it is not the kind of server that
   * the URL names, or the login is refused.
   */
  static async open(address: NodeAddress, options: TopologyOptions): Promise<StandaloneConnection> {
    const standalone = new StandaloneConnection(address, options)
    const { connection } = standalone.#master
    try {
      await connection.opened
      const [name, mode] = [nameOf(address), await modeOf(connection)]
      if (mode === 'cluster') {
        throw wrong(
          `${name} is a node of a Cluster: name the Cluster as a list, redis://host:port,host:port (one node and a trailing comma are enough)`,
        )
      }
      if (mode === 'sentinel') {
        throw wrong(`${name} is a Sentinel: name the master it watches, redis+sentinel://${name}/name-of-the-master`)
      }
    } catch (thrown) {
      standalone.close()
      throw cannotOpen(nameOf(address), thrown)
    }
    return standalone
  }

  run(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<Reply> {
    return this.#master.run(name, keys, args).catch(fail)
  }

  runDurably(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<DurableReply> {
    return this.#master.runDurably(name, keys, args).catch(fail)
  }

  command(...words: readonly (string | number)[]): Promise<Reply> {
    return this.#master.command(...words)
  }

  masters(): readonly RedisNode[] {
    return [this.#master]
  }

  findMaster(): Promise<boolean> {
    return Promise.resolve(false)
  }

  onMastersChanged(listener: () => void): void {
    this.#master.connection.onReady(listener)
    this.#master.connection.onLost(listener)
  }

  subscribe(channel: string, onMessage: () => void): Promise<void> {
    return this.#master.subscribe(channel, onMessage).catch(fail)
  }

  close(): void {
    this.#master.close()
  }
}

function fail(thrown: unknown): never {
  throw toFailure(thrown)
}
