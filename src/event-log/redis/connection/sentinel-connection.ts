// The master that Sentinels name. They are queried again when it is lost, replies as a replica, or is replaced.
//
// The Sentinel client of node-redis is not used, because it resends a command when its connection is lost.

import { setTimeout as sleep } from 'node:timers/promises'
import { type NodeAccess, type NodeAddress, wrong } from '../../../config/redis-url.ts'
import { MillraceError } from '../../../errors.ts'
import { withinMs } from '../../../lib/abort.ts'
import { backoffMs } from '../../../lib/backoff.ts'
import { isReply, listOf, type RedisNode, textOf } from './redis-connection.ts'
import type { RedisMaster } from './redis-master.ts'
import { RoutedConnection, type Work } from './routed-connection.ts'
import { cannotOpen, masterAt, nameOf, queryOnce, type TopologyOptions } from './topology.ts'

/** Backoff of the queries while no master is known. */
const searchPolicy = { baseMs: 100, maxMs: 1_000 }

/** How often the Sentinels are queried while connected: a replaced master may not know that it was replaced. */
const checkEveryMs = 1_000

export interface SentinelTarget {
  readonly masterName: string
  readonly sentinels: readonly NodeAddress[]
  /** Credentials and options for every master. */
  readonly access: NodeAccess
}

export class SentinelConnection extends RoutedConnection {
  readonly #target: SentinelTarget
  readonly #timer: NodeJS.Timeout
  #master: RedisMaster | null = null
  #searching: Promise<void> | null = null
  #isClosed = false

  constructor(target: SentinelTarget, options: TopologyOptions) {
    super(options)
    this.#target = target
    this.#timer = setInterval(() => void this.#checkMaster(), checkEveryMs)
    this.#timer.unref()
  }

  async connect(): Promise<void> {
    this.#use(await this.#connect(await this.#queryMaster()))
  }

  masters(): readonly RedisNode[] {
    return this.#master === null ? [] : [this.#master]
  }

  async findMaster(maxWaitMs: number): Promise<boolean> {
    await withinMs(this.#searching ?? Promise.resolve(), maxWaitMs, null)
    return maxWaitMs > 0 && this.#master !== null
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#master?.close()
  }

  protected async route<T>(_key: string, work: Work<T>): Promise<T> {
    const master = this.#current()
    try {
      return await work(master, false)
    } catch (thrown) {
      // The server has become a replica: the Sentinels know the new master.
      if (isReply(thrown, 'READONLY') && this.#master === master) this.#search('the master has become a replica')
      throw thrown
    }
  }

  #current(): RedisMaster {
    if (this.#master !== null) return this.#master
    throw new MillraceError(
      'unavailable',
      `the Sentinels currently name no reachable master "${this.#target.masterName}"`,
    )
  }

  /** Checks while connected whether the Sentinels name another master. */
  async #checkMaster(): Promise<void> {
    if (this.#searching !== null || this.#master === null) return
    const { name } = this.#master
    const address = await this.#queryMaster().catch(() => null)
    if (address !== null && nameOf(address) !== name && this.#master?.name === name) {
      this.#search('the Sentinels name another master')
    }
    await this.subscriptions.move(() => this.#master)
  }

  /** Closes the connection to the master and queries the Sentinels until there is a new one. */
  #search(reason: string): void {
    if (this.#searching !== null || this.#isClosed) return
    const { logger } = this.options
    logger.warn({ master: this.#master?.name }, `${reason}; querying the Sentinels for the master`)
    this.#master?.close()
    this.#master = null
    this.#searching = (async () => {
      for (let attempt = 1; !this.#isClosed; attempt++) {
        try {
          const master = await this.#connect(await this.#queryMaster())
          this.#searching = null
          return this.#use(master)
        } catch {
          await sleep(backoffMs(attempt, searchPolicy, 0.5 + Math.random() / 2), undefined, { ref: false })
        }
      }
    })()
  }

  #use(master: RedisMaster): void {
    if (this.#isClosed) {
      master.close()
      return
    }
    this.#master = master
    const { connection, name } = master
    connection.onLost(() => {
      if (this.#master !== master) return
      this.#search('the connection to Redis is lost')
      this.mastersChanged()
    })
    this.options.logger.info({ master: name }, 'connected to the master that the Sentinels name')
    this.mastersChanged()
    void this.subscriptions.move(() => this.#master)
  }

  /** Connects to a server and checks that it is a master. */
  async #connect(address: NodeAddress): Promise<RedisMaster> {
    const master = masterAt(address, this.options)
    try {
      await master.connection.opened
      const role = textOf(listOf(await master.send(['ROLE']))[0])
      if (role !== 'master') throw new Error(`its role is ${role}, although the Sentinels name it as master`)
      return master
    } catch (thrown) {
      master.close()
      throw cannotOpen(master.name, thrown)
    }
  }

  async #queryMaster(): Promise<NodeAddress> {
    const { masterName, sentinels, access } = this.#target
    const words = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]
    let failure: MillraceError | undefined
    for (const sentinel of sentinels) {
      const name = nameOf(sentinel)
      try {
        const reply = await queryOnce(sentinel, this.options, (connection) => connection.send(words))
        if (reply !== null) return { ...access, host: textOf(listOf(reply)[0]), port: Number(textOf(listOf(reply)[1])) }
        failure = wrong(`the Sentinel ${name} knows no master "${masterName}"; correct the name after the slash`)
      } catch (thrown) {
        if (isReply(thrown, 'ERR'))
          failure = wrong(`${name} is no Sentinel (for one server use redis://host:port): ${thrown.message}`)
        else failure ??= cannotOpen(name, thrown)
      }
    }
    throw failure ?? new MillraceError('unavailable', 'the URL names no Sentinels')
  }
}
