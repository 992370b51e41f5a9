// One server, always the same.

import type { Logger } from '../../telemetry/logger.ts'
import { toConnectFailure } from './connect-failure.ts'
import type { NodeAddress, RedisLibrary } from './node-connection.ts'
import {
  type DurableReply,
  type RedisConnection,
  type RedisNode,
  type Replication,
  type Reply,
  type ScriptArgument,
  toFailure,
} from './redis-connection.ts'
import { RedisMaster } from './redis-master.ts'
import type { ScriptName, Scripts } from './redis-scripts.ts'

export interface TopologyOptions {
  readonly redis: RedisLibrary
  readonly scripts: Scripts
  readonly replication: Replication | undefined
  readonly maxReplyMs: number
  readonly logger: Pick<Logger, 'info' | 'warn'>
}

export class StandaloneConnection implements RedisConnection {
  readonly #master: RedisMaster

  private constructor(address: NodeAddress, { logger, ...options }: TopologyOptions) {
    this.#master = new RedisMaster({ ...options, address, name: `${address.host}:${address.port}` })
    const { connection } = this.#master
    connection.onLost((error) => logger.warn({ error }, 'the connection to Redis is lost; it is tried again'))
    connection.onReady(() => {
      if (connection.hasBeenReady) logger.info({}, 'the connection to Redis is back')
    })
  }

  /** Connects. Errors: as toConnectFailure. */
  static async open(address: NodeAddress, options: TopologyOptions): Promise<StandaloneConnection> {
    const connection = new StandaloneConnection(address, options)
    try {
      await connection.#master.connection.opened
    } catch (thrown) {
      connection.close()
      throw toConnectFailure(thrown, connection.#master.name)
    }
    return connection
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

  onMastersChanged(listener: () => void): void {
    this.#master.connection.onReady(listener)
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
