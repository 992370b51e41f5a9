// The master that Sentinels name. Whenever it is lost, answers as a replica, or they name another one, they are asked again.
//
// node-redis has a client for this that sends a command again when its connection is lost: here that must not happen.

import { setTimeout as sleep } from 'node:timers/promises'
import { type NodeAccess, type NodeAddress, wrong } from '../../config/redis-url.ts'
import { MillraceError } from '../../errors.ts'
import { backoffMs } from '../../lib/backoff.ts'
import {
  type DurableReply,
  isReply,
  listOf,
  type RedisConnection,
  type RedisNode,
  type Reply,
  type ScriptArgument,
  textOf,
  toFailure,
} from './redis-connection.ts'
import { RedisMaster } from './redis-master.ts'
import type { ScriptName } from './redis-scripts.ts'
import { Subscriptions } from './subscriptions.ts'
import { ask, cannotOpen, nameOf, type TopologyOptions } from './topology.ts'

/** How soon they are asked again while nobody is known to be master. */
const searchPolicy = { baseMs: 100, maxMs: 1_000 }

/** How often they are asked while all is well: the old master may not know that another has taken over. */
const lookEveryMs = 1_000

export interface SentinelTarget {
  readonly masterName: string
  readonly sentinels: readonly NodeAddress[]
  /** What every master takes. */
  readonly access: NodeAccess
}

export class SentinelConnection implements RedisConnection {
  readonly #target: SentinelTarget
  readonly #options: TopologyOptions
  readonly #subscriptions: Subscriptions
  readonly #changeListeners: (() => void)[] = []
  readonly #looking: NodeJS.Timeout
  #master: RedisMaster | null = null
  #searching: Promise<void> | null = null
  #isClosed = false

  private constructor(target: SentinelTarget, options: TopologyOptions) {
    this.#target = target
    this.#options = options
    this.#subscriptions = new Subscriptions(async (channel, onMessage) => {
      const master = this.#current()
      await master.subscribe(channel, onMessage)
      return master
    })
    this.#looking = setInterval(() => void this.#look(), lookEveryMs)
    this.#looking.unref()
  }

  /**
   * Asks for the master and connects to it.
   * Errors: `unavailable` when no Sentinel answers or the master cannot be reached, `failed_precondition` when they do not
   * know the name, or refuse.
   */
  static async open(target: SentinelTarget, options: TopologyOptions): Promise<SentinelConnection> {
    const connection = new SentinelConnection(target, options)
    try {
      connection.#use(await connection.#connect(await connection.#askForMaster()))
    } catch (thrown) {
      connection.close()
      throw thrown
    }
    return connection
  }

  run(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<Reply> {
    return this.#send((master) => master.run(name, keys, args))
  }

  runDurably(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<DurableReply> {
    return this.#send((master) => master.runDurably(name, keys, args))
  }

  command(...words: readonly (string | number)[]): Promise<Reply> {
    return this.#send((master) => master.send(words.map(String)))
  }

  masters(): readonly RedisNode[] {
    return this.#master === null ? [] : [this.#master]
  }

  onMastersChanged(listener: () => void): void {
    this.#changeListeners.push(listener)
  }

  async subscribe(channel: string, onMessage: () => void): Promise<void> {
    try {
      await this.#subscriptions.add(channel, onMessage)
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#looking)
    this.#master?.close()
  }

  async #send<T>(work: (master: RedisMaster) => Promise<T>): Promise<T> {
    try {
      return await work(this.#current())
    } catch (thrown) {
      // It has become a replica: the Sentinels know who is master now.
      if (isReply(thrown, 'READONLY')) this.#search('the master has become a replica')
      throw toFailure(thrown)
    }
  }

  #current(): RedisMaster {
    if (this.#master !== null) return this.#master
    throw new MillraceError('unavailable', `no master "${this.#target.masterName}" is known now`)
  }

  /** Asks whether another is master while all seems well. */
  async #look(): Promise<void> {
    if (this.#searching !== null || this.#master === null) return
    const { name } = this.#master
    const address = await this.#askForMaster().catch(() => null)
    if (address !== null && nameOf(address) !== name && this.#master?.name === name) {
      this.#search('the Sentinels name another master')
    }
    await this.#subscriptions.move(() => this.#master)
  }

  /** Lets go of the master and goes on until there is one. */
  #search(reason: string): void {
    if (this.#searching !== null || this.#isClosed) return
    const { logger } = this.#options
    logger.warn({ master: this.#master?.name }, `${reason}; the Sentinels are asked for the master`)
    this.#master?.close()
    this.#master = null
    this.#searching = (async () => {
      for (let attempt = 1; !this.#isClosed; attempt++) {
        try {
          const master = await this.#connect(await this.#askForMaster())
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
      for (const listener of this.#changeListeners) listener()
    })
    this.#options.logger.info({ master: name }, 'connected to the master that the Sentinels name')
    for (const listener of this.#changeListeners) listener()
    void this.#subscriptions.move(() => this.#master)
  }

  /** Connects to a server that must be master. */
  async #connect(address: NodeAddress): Promise<RedisMaster> {
    const name = nameOf(address)
    const { logger: _, reach, ...options } = this.#options
    const master = new RedisMaster({ ...options, address: reach(address), name })
    try {
      await master.connection.opened
      const role = textOf(listOf(await master.send(['ROLE']))[0])
      if (role !== 'master') throw new Error(`it is a ${role}, though the Sentinels name it as master`)
      return master
    } catch (thrown) {
      master.close()
      throw cannotOpen(name, thrown)
    }
  }

  async #askForMaster(): Promise<NodeAddress> {
    const { masterName, sentinels, access } = this.#target
    const words = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]
    let failure: MillraceError | undefined
    for (const sentinel of sentinels) {
      const name = nameOf(sentinel)
      try {
        const reply = await ask(sentinel, this.#options, (connection) => connection.send(words))
        if (reply !== null) return { ...access, host: textOf(listOf(reply)[0]), port: Number(textOf(listOf(reply)[1])) }
        failure = wrong(`the Sentinel ${name} knows no master "${masterName}"`)
      } catch (thrown) {
        if (isReply(thrown, 'ERR')) failure = wrong(`${name} is no Sentinel: ${thrown.message}`)
        else failure ??= cannotOpen(name, thrown)
      }
    }
    throw failure ?? new MillraceError('unavailable', 'there are no Sentinels to ask')
  }
}
