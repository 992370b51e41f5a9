// A Cluster: each command goes to the master that has the slot of its key. When a node says that the slot is elsewhere
// the command goes there, for nothing has run; when a connection is lost the command is lost with it.
//
// node-redis has a client for this too. With it one node that cannot be reached can hold up the commands of all, a WAIT
// cannot be sent on the connection of the script that it is about, and a channel that cannot be listened to again ends the
// process. So only its single connections are used, each with the same rules as that of one server.

import { setTimeout as sleep } from 'node:timers/promises'
import { type NodeAccess, type NodeAddress, wrong } from '../../config/redis-url.ts'
import { MillraceError } from '../../errors.ts'
import { backoffMs } from '../../lib/backoff.ts'
import { slotCount, slotOf } from './hash-slot.ts'
import {
  type DurableReply,
  isReply,
  listOf,
  numberOf,
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
import { ask, cannotOpen, modeOf, nameOf, type TopologyOptions } from './topology.ts'

const maxRedirections = 5

/** How soon the slots are read again while something is not as it should be. */
const lookPolicy = { baseMs: 100, maxMs: 1_000 }

/** How soon a command is tried again whose slot is being moved. */
const tryAgainMs = 50

type Work<T> = (master: RedisMaster, isAsked: boolean) => Promise<T>

export class ClusterConnection implements RedisConnection {
  readonly #seeds: readonly NodeAddress[]
  readonly #access: NodeAccess
  readonly #options: TopologyOptions
  readonly #subscriptions: Subscriptions
  readonly #changeListeners: (() => void)[] = []
  /** Those that have slots, and those a command was sent to since; by the name that the Cluster gives them. */
  readonly #masters = new Map<string, RedisMaster>()
  /** Those without slots now: what is under way there may still be answered. */
  readonly #retired = new Set<RedisMaster>()
  #slots: readonly (RedisMaster | undefined)[] = []
  #isMending = false
  #isClosed = false

  private constructor(seeds: readonly NodeAddress[], options: TopologyOptions) {
    const { host: _, port: __, ...access } = seeds[0]!
    this.#seeds = seeds
    this.#access = access
    this.#options = options
    this.#subscriptions = new Subscriptions((channel, onMessage) =>
      this.#route(channel, async (master) => {
        await master.subscribe(channel, onMessage)
        return master
      }),
    )
  }

  /**
   * Asks one of the nodes where the slots are and connects to all masters.
   * Errors: `unavailable` when none can be reached, `failed_precondition` when they are no Cluster, or refuse.
   */
  static async open(seeds: readonly NodeAddress[], options: TopologyOptions): Promise<ClusterConnection> {
    const connection = new ClusterConnection(seeds, options)
    try {
      await connection.#readFromSeeds()
      await connection.#connectFirst()
    } catch (thrown) {
      connection.close()
      throw thrown
    }
    return connection
  }

  run(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<Reply> {
    return this.#send(keys[0]!, (master, isAsked) => master.run(name, keys, args, isAsked))
  }

  runDurably(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<DurableReply> {
    return this.#send(keys[0]!, (master, isAsked) => master.runDurably(name, keys, args, isAsked))
  }

  command(...words: readonly (string | number)[]): Promise<Reply> {
    const all = words.map(String)
    return this.#send(all[1]!, (master, isAsked) => master.send(all, isAsked))
  }

  masters(): readonly RedisNode[] {
    return [...this.#masters.values()]
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
    for (const master of [...this.#masters.values(), ...this.#retired]) master.close()
  }

  /** Waits until each master is connected or has failed to be; one that is there is enough to begin. */
  async #connectFirst(): Promise<void> {
    const masters = [...this.#masters.values()]
    const results = await Promise.allSettled(masters.map(({ connection }) => connection.opened))
    const [first] = results
    if (first?.status !== 'rejected' || results.some(({ status }) => status === 'fulfilled')) return
    throw cannotOpen(masters[0]!.name, first.reason)
  }

  async #send<T>(key: string, work: Work<T>): Promise<T> {
    try {
      return await this.#route(key, work)
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }

  /** Follows the slot of a key. Rejects with what the server or the client said. */
  async #route<T>(key: string, work: Work<T>): Promise<T> {
    const slot = slotOf(key)
    const endsAtMs = performance.now() + this.#options.maxReplyMs
    let [master, isAsked] = [this.#slots[slot], false]
    for (let redirections = 0; ; ) {
      if (master === undefined) {
        this.#mend()
        throw new MillraceError('unavailable', `no node of the Cluster has slot ${slot} now`)
      }
      try {
        return await work(master, isAsked)
      } catch (thrown) {
        if (isReply(thrown, 'TRYAGAIN') && performance.now() < endsAtMs) {
          await sleep(tryAgainMs)
          master = this.#slots[slot]
          isAsked = false
          continue
        }
        if (isReply(thrown, 'CLUSTERDOWN') || isReply(thrown, 'READONLY')) this.#mend()
        isAsked = isReply(thrown, 'ASK')
        const isMoved = isReply(thrown, 'MOVED')
        if ((!isAsked && !isMoved) || ++redirections > maxRedirections) throw thrown
        master = this.#masterAt(addressIn((thrown as Error).message, master))
        if (isMoved) this.#mend()
        // Nothing has been sent there yet, so there is time to connect.
        await master.connection.tried
      }
    }
  }

  /** Reads the slots, again and again until every master is there and every channel is listened to. */
  #mend(): void {
    if (this.#isMending || this.#isClosed) return
    this.#isMending = true
    void (async () => {
      for (let attempt = 1; !this.#isClosed; attempt++) {
        const isRead = await this.#read().then(
          () => true,
          () => false,
        )
        const isHeard = await this.#subscriptions.move((channel) => this.#slots[slotOf(channel)] ?? null)
        if (isRead && isHeard && this.#isWhole()) break
        await sleep(backoffMs(attempt, lookPolicy, 0.5 + Math.random() / 2), undefined, { ref: false })
      }
      this.#isMending = false
    })()
  }

  #isWhole(): boolean {
    return Array.from(this.#masters.values()).every(({ connection }) => connection.isReady)
  }

  async #read(): Promise<void> {
    for (const { name, connection } of this.#masters.values()) {
      if (!connection.isReady) continue
      try {
        return this.#apply(await connection.send(['CLUSTER', 'SLOTS']), name)
      } catch {
        // The next one may know.
      }
    }
    await this.#readFromSeeds()
  }

  async #readFromSeeds(): Promise<void> {
    let failure: MillraceError | undefined
    for (const seed of this.#seeds) {
      const name = nameOf(seed)
      try {
        await ask(seed, this.#options, async (connection) => {
          const mode = await modeOf(connection)
          if (mode !== 'cluster') {
            throw wrong(`${name} is no node of a Cluster, and a list names a Cluster: name one server, redis://${name}`)
          }
          this.#apply(await connection.send(['CLUSTER', 'SLOTS']), name)
        })
        return
      } catch (thrown) {
        failure = cannotOpen(name, thrown)
        if (failure.code === 'failed_precondition') break
      }
    }
    throw failure ?? new MillraceError('unavailable', 'there are no nodes to ask')
  }

  /** @param asked who answered: a node that does not know its own address is reached as that. */
  #apply(reply: Reply, asked: string): void {
    const slots: (RedisMaster | undefined)[] = new Array(slotCount).fill(undefined)
    for (const range of listOf(reply)) {
      const [from, to, master] = listOf(range)
      const [host, port] = listOf(master)
      const address = hostOr(host === null || host === undefined ? '' : textOf(host), asked)
      slots.fill(this.#masterAt(`${address}:${numberOf(port)}`), numberOf(from), numberOf(to) + 1)
    }
    if (slots.every((master) => master === undefined)) throw new Error('no node of the Cluster has slots')
    this.#slots = slots
    const named = new Set(slots)
    let isFewer = false
    for (const [name, master] of this.#masters) {
      if (named.has(master)) continue
      this.#masters.delete(name)
      this.#retire(master)
      isFewer = true
    }
    if (isFewer) this.#tellChange()
  }

  #masterAt(name: string): RedisMaster {
    const known = this.#masters.get(name)
    if (known !== undefined) return known
    const { logger, reach, ...options } = this.#options
    const colon = name.lastIndexOf(':')
    const address = { ...this.#access, host: name.slice(0, colon), port: Number(name.slice(colon + 1)) }
    const master = new RedisMaster({ ...options, address: reach(address), name })
    const { connection } = master
    connection.opened.catch(() => this.#mend())
    connection.onReady(() => {
      if (connection.hasBeenReady) logger.info({ node: name }, 'the connection to a node of Redis is back')
      this.#tellChange()
    })
    connection.onLost((error) => {
      if (this.#masters.get(name) !== master) return
      logger.warn({ node: name, error }, 'the connection to a node of Redis is lost; it is tried again')
      this.#mend()
      this.#tellChange()
    })
    master.onChannelMoved(() => {
      this.#subscriptions.forget(master)
      this.#mend()
    })
    this.#masters.set(name, master)
    if (this.#isClosed) master.close()
    return master
  }

  #retire(master: RedisMaster): void {
    this.#retired.add(master)
    const end = () => {
      this.#retired.delete(master)
      master.close()
    }
    setTimeout(end, this.#options.maxReplyMs).unref()
  }

  #tellChange(): void {
    for (const listener of this.#changeListeners) listener()
  }
}

/** Where a redirection leads: `MOVED 3999 host:port`. Without a host it is the host that said so. */
function addressIn(message: string, { name }: RedisMaster): string {
  const [, , target = ''] = message.split(' ')
  const colon = target.lastIndexOf(':')
  return `${hostOr(target.slice(0, colon), name)}:${target.slice(colon + 1)}`
}

function hostOr(host: string, name: string): string {
  return host === '' || host === '?' ? name.slice(0, name.lastIndexOf(':')) : host
}
