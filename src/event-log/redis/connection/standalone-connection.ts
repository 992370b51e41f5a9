// One fixed server.

import { type NodeAddress, wrong } from '../../../config/redis-url.ts'
import type { RedisNode } from './redis-connection.ts'
import type { RedisMaster } from './redis-master.ts'
import { RoutedConnection, type Work } from './routed-connection.ts'
import { cannotOpen, masterAt, modeOf, type TopologyOptions } from './topology.ts'

export class StandaloneConnection extends RoutedConnection {
  readonly #master: RedisMaster

  constructor(address: NodeAddress, options: TopologyOptions) {
    super(options)
    this.#master = masterAt(address, options)
    const { connection } = this.#master
    connection.onLost((error) => {
      options.logger.warn({ error }, 'the connection to Redis is lost; reconnecting')
      this.mastersChanged()
    })
    connection.onReady(() => {
      if (connection.hasBeenReady) options.logger.info({}, 'reconnected to Redis')
      this.mastersChanged()
    })
  }

  async connect(): Promise<void> {
    const { connection, name } = this.#master
    try {
      await connection.opened
      const mode = await modeOf(connection)
      if (mode === 'cluster') {
        throw wrong(
          `${name} is a node of a Cluster: name the Cluster as a list, redis://host:port,host:port (one node and a trailing comma are enough)`,
        )
      }
      if (mode === 'sentinel') {
        throw wrong(`${name} is a Sentinel: name the master it watches, redis+sentinel://${name}/name-of-the-master`)
      }
    } catch (thrown) {
      throw cannotOpen(name, thrown)
    }
  }

  masters(): readonly RedisNode[] {
    return [this.#master]
  }

  findMaster(): Promise<boolean> {
    return Promise.resolve(false)
  }

  close(): void {
    this.#master.close()
  }

  protected route<T>(_key: string, work: Work<T>): Promise<T> {
    return work(this.#master, false)
  }
}
