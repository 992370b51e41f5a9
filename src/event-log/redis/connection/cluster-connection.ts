// A Cluster: each command goes to the master that has the slot of its key. A redirection is followed, because the
// command has not run; when a connection is lost, the outcome of its commands in flight is unknown.
//
// The Cluster client of node-redis is not used: one unreachable node can block the commands to all others, WAIT cannot
// be sent on the connection of the script that it follows, and a failed resubscription ends the process. So only its
// single-server connections are used, with the same rules as for one server.

import { setTimeout as sleep } from 'node:timers/promises'
import { type NodeAccess, type NodeAddress, wrong } from '../../../config/redis-url.ts'
import { MillraceError } from '../../../errors.ts'
import { backoffMs } from '../../../lib/backoff.ts'
import { slotCount, slotOf } from './hash-slot.ts'
import { isReply, listOf, numberOf, type RedisNode, type Reply, textOf } from './redis-connection.ts'
import type { RedisMaster } from './redis-master.ts'
import { RoutedConnection, type Work } from './routed-connection.ts'
import { cannotOpen, masterAt, modeOf, nameOf, queryOnce, type TopologyOptions } from './topology.ts'

const maxRedirections = 5

/** Backoff of rereading the slots until all masters are connected and all channels subscribed. */
const repairPolicy = { baseMs: 100, maxMs: 1_000 }

/** Delay before a command is retried whose slot is being moved. */
const retryAfterMs = 50

export class ClusterConnection extends RoutedConnection {
  readonly #seeds: readonly NodeAddress[]
  readonly #access: NodeAccess
  /** Masters that have slots or were the target of a redirection since; by `host:port` as the Cluster announces it. */
  readonly #masters = new Map<string, RedisMaster>()
  /** Masters without slots, kept open until the commands in flight have been answered. */
  readonly #retired = new Set<RedisMaster>()
  #slots: readonly (RedisMaster | undefined)[] = []
  #isRepairing = false
  #isClosed = false

  constructor(seeds: readonly NodeAddress[], options: TopologyOptions) {
    super(options)
    const { host: _, port: __, ...access } = seeds[0]!
    this.#seeds = seeds
    this.#access = access
  }

  /** Reads the slots from one of the nodes and connects to all masters; one connected master is enough to start. */
  async connect(): Promise<void> {
    await this.#readFromSeeds()
    const masters = [...this.#masters.values()]
    const results = await Promise.allSettled(masters.map(({ connection }) => connection.opened))
    const [first] = results
    if (first?.status !== 'rejected' || results.some(({ status }) => status === 'fulfilled')) return
    throw cannotOpen(masters[0]!.name, first.reason)
  }

  masters(): readonly RedisNode[] {
    return [...this.#masters.values()]
  }

  /** The reply has begun a repair of the slots. */
  async findMaster(maxWaitMs: number): Promise<boolean> {
    await sleep(Math.min(retryAfterMs, Math.max(0, maxWaitMs)))
    return maxWaitMs > retryAfterMs
  }

  close(): void {
    this.#isClosed = true
    for (const master of [...this.#masters.values(), ...this.#retired]) master.close()
  }

  /** Follows redirections. */
  protected async route<T>(key: string, work: Work<T>): Promise<T> {
    const slot = slotOf(key)
    const endsAtMs = performance.now() + this.options.maxReplyMs
    let [master, needsAsking] = [this.#slots[slot], false]
    for (let redirections = 0; ; ) {
      if (master === undefined) {
        this.#repair()
        throw new MillraceError('unavailable', `no node of the Cluster currently has slot ${slot}`)
      }
      try {
        return await work(master, needsAsking)
      } catch (thrown) {
        if (isReply(thrown, 'TRYAGAIN') && performance.now() < endsAtMs) {
          await sleep(retryAfterMs)
          master = this.#slots[slot]
          needsAsking = false
          continue
        }
        if (isReply(thrown, 'CLUSTERDOWN') || isReply(thrown, 'READONLY')) this.#repair()
        needsAsking = isReply(thrown, 'ASK')
        const isMoved = isReply(thrown, 'MOVED')
        if ((!needsAsking && !isMoved) || ++redirections > maxRedirections) throw thrown
        master = this.#masterAt(addressIn((thrown as Error).message, master))
        if (isMoved) this.#repair()
        // Nothing has been sent there yet, so waiting for the connection is safe.
        await master.connection.tried
      }
    }
  }

  /** Rereads the slots until every master is connected and every channel subscribed. */
  #repair(): void {
    if (this.#isRepairing || this.#isClosed) return
    this.#isRepairing = true
    void (async () => {
      for (let attempt = 1; !this.#isClosed; attempt++) {
        const isRead = await this.#read().then(
          () => true,
          () => false,
        )
        const isSubscribed = await this.subscriptions.move((channel) => this.#slots[slotOf(channel)] ?? null)
        if (isRead && isSubscribed && this.#isWhole()) break
        await sleep(backoffMs(attempt, repairPolicy, 0.5 + Math.random() / 2), undefined, { ref: false })
      }
      this.#isRepairing = false
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
        // Try the next one.
      }
    }
    await this.#readFromSeeds()
  }

  async #readFromSeeds(): Promise<void> {
    let failure: MillraceError | undefined
    for (const seed of this.#seeds) {
      const name = nameOf(seed)
      try {
        await queryOnce(seed, this.options, async (connection) => {
          const mode = await modeOf(connection)
          if (mode !== 'cluster') {
            throw wrong(`${name} is no node of a Cluster, but a list names a Cluster: name one server, redis://${name}`)
          }
          this.#apply(await connection.send(['CLUSTER', 'SLOTS']), name)
        })
        return
      } catch (thrown) {
        failure = cannotOpen(name, thrown)
        if (failure.code === 'failed_precondition') break
      }
    }
    throw failure ?? new MillraceError('unavailable', 'the URL names no nodes')
  }

  /** @param source `host:port` of the node that replied, used when it does not know its own host. */
  #apply(reply: Reply, source: string): void {
    const slots: (RedisMaster | undefined)[] = new Array(slotCount).fill(undefined)
    for (const range of listOf(reply)) {
      const [from, to, master] = listOf(range)
      const [host, port] = listOf(master)
      const address = hostOr(host === null || host === undefined ? '' : textOf(host), source)
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
    if (isFewer) this.mastersChanged()
  }

  #masterAt(name: string): RedisMaster {
    const known = this.#masters.get(name)
    if (known !== undefined) return known
    const { logger } = this.options
    const colon = name.lastIndexOf(':')
    const address = { ...this.#access, host: name.slice(0, colon), port: Number(name.slice(colon + 1)) }
    const master = masterAt(address, this.options)
    const { connection } = master
    connection.opened.catch(() => this.#repair())
    connection.onReady(() => {
      if (connection.hasBeenReady) logger.info({ node: name }, 'reconnected to a Redis node')
      this.mastersChanged()
    })
    connection.onLost((error) => {
      if (this.#masters.get(name) !== master) return
      logger.warn({ node: name, error }, 'the connection to a Redis node is lost; reconnecting')
      this.#repair()
      this.mastersChanged()
    })
    master.onChannelMoved = () => {
      this.subscriptions.forget(master)
      this.#repair()
    }
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
    setTimeout(end, this.options.maxReplyMs).unref()
  }
}

/** Target of a redirection: `MOVED 3999 host:port`. Without a host it is the host that sent it. */
function addressIn(message: string, { name }: RedisMaster): string {
  const [, , target = ''] = message.split(' ')
  const colon = target.lastIndexOf(':')
  return `${hostOr(target.slice(0, colon), name)}:${target.slice(colon + 1)}`
}

function hostOr(host: string, name: string): string {
  return host === '' || host === '?' ? name.slice(0, name.lastIndexOf(':')) : host
}
