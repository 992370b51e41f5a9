// One epoch of the log as this process knows it: the topics, and what it remembers of each partition. It ends when a
// script finds that the server has lost acknowledged data, or that another process has begun a later epoch; sessions.ts
// then begins the next one.
//
// Every script gets what this session knows of the partition: the epoch, and how far each lane has reached. A script
// that finds a contradiction writes nothing and returns why. After a lost connection another server may reply, so the
// last entry that this process stored or read in each lane is compared too: after a failover another entry may have its
// offset.

import { MillraceError } from '../../../errors.ts'
import {
  type DurableReply,
  listOf,
  type RedisConnection,
  type Reply,
  refusalIn,
  toFailure,
} from '../connection/redis-connection.ts'
import type { PartitionKeys } from '../redis-keys.ts'
import { TopicRegistry, type TopicRegistryOptions } from '../topics/topic-registry.ts'
import { type PartitionCall, PartitionMemory } from './partition-memory.ts'
import { throwIfOver, wordOf } from './session-over.ts'

/** How long an append that a replica has refused waits for the present master. */
const maxSearchMs = 5_000

export type Memories = ReadonlyMap<PartitionKeys, PartitionMemory>

export interface RedisSessionOptions extends Omit<TopicRegistryOptions, 'runWith' | 'memoryOf' | 'offer'> {
  readonly connection: RedisConnection
  /** What this process remembers from earlier epochs. */
  readonly offers: Memories
  /** Counts connects, disconnects and failovers of masters. */
  readonly masterChanges: () => number
  /** Resolves when an append may be sent; rejects with the reason when none may. */
  readonly mayAppend: () => Promise<void>
}

export class RedisSession {
  readonly epoch: number
  readonly registry: TopicRegistry
  readonly #options: RedisSessionOptions
  readonly #memories = new Map<PartitionKeys, PartitionMemory>()
  /** Value of `masterChanges` at the last check of a partition's entries; missing when a check is due. */
  readonly #checkedOn = new Map<PartitionKeys, number>()
  /** Partitions that know what this process remembers from earlier epochs. */
  readonly #offered = new Set<PartitionKeys>()
  readonly #end = new AbortController()

  constructor(options: RedisSessionOptions) {
    this.epoch = options.epoch
    this.#options = options
    this.registry = new TopicRegistry({
      ...options,
      memoryOf: (partition) => this.memoryOf(partition),
      runWith: async (...call) => (await this.#send(call)).reply,
      offer: (partition) => this.#offer(partition),
    })
  }

  /** Aborts when the next session has begun: consumers of this one are useless then. */
  get over(): AbortSignal {
    return this.#end.signal
  }

  end(): void {
    this.#end.abort()
  }

  memoryOf(partition: PartitionKeys): PartitionMemory {
    let memory = this.#memories.get(partition)
    if (memory === undefined) {
      memory = new PartitionMemory()
      this.#memories.set(partition, memory)
    }
    return memory
  }

  /** What this process remembers of all epochs up to this one, for the next session. */
  offers(): Memories {
    const { offers } = this.#options
    const all = new Map(offers)
    for (const [partition, memory] of this.#memories) all.set(partition, memory.after(offers.get(partition)))
    return all
  }

  /**
   * Runs a script of a partition.
   * Errors: SessionOver (nothing was written); NOGROUP (the group was dropped); `not_found` (this epoch has no such
   * partition); as RedisConnection.run.
   */
  async run(...call: PartitionCall): Promise<Reply> {
    return (await this.#run(call, false)).reply
  }

  /**
   * Runs a script that stores events, and waits for the replicas (RedisConnection.runDurably). A replica has written
   * nothing: the script is sent again when there is a master, and it has been checked. Errors: as `run` and `mayAppend`.
   */
  async store(...call: PartitionCall<'append' | 'reopen'>): Promise<DurableReply> {
    const { connection, mayAppend } = this.#options
    const searchEndsAtMs = performance.now() + maxSearchMs
    for (;;) {
      try {
        await mayAppend()
        return await this.#run(call, true).catch(withUnknownOutcome)
      } catch (thrown) {
        const isReplica = refusalIn(thrown) === 'READONLY'
        if (!isReplica || !(await connection.findMaster(searchEndsAtMs - performance.now()))) throw thrown
      }
    }
  }

  async #run(call: PartitionCall, isDurable: boolean): Promise<DurableReply> {
    const [, partition] = call
    if (!this.registry.has(partition)) {
      const { topic, number } = partition
      throw new MillraceError('not_found', `there is no partition ${number} of a topic "${topic}"`, { field: 'topic' })
    }
    await this.registry.enter(partition)
    await this.#offer(partition)
    await this.#check(partition)
    for (let isSecond = false; ; isSecond = true) {
      const answer = await this.#send(call, isDurable)
      if (wordOf(answer.reply) !== 'nogroup') return answer
      if (isSecond) throw toFailure(new Error('NOGROUP there is no such group'))
      await this.registry.makePartition(partition)
    }
  }

  /** Has it counted, once, what this process knows to be lost. */
  async #offer(partition: PartitionKeys): Promise<void> {
    const offer = this.#options.offers.get(partition)
    if (offer === undefined || this.#offered.has(partition)) return
    const { reply } = await this.#send(['count-loss', partition, [partition.books], offer.offer()])
    this.memoryOf(partition).noteLedgers(listOf(reply))
    this.#offered.add(partition)
  }

  /** Compares the last known entries when another server may reply. */
  async #check(partition: PartitionKeys): Promise<void> {
    const changes = this.#options.masterChanges()
    if (this.#checkedOn.get(partition) === changes) return
    const { ends, entries } = this.memoryOf(partition)
    if (ends.some((end) => end > 0)) {
      const places = entries.flatMap((entry) => [entry?.id ?? '', entry?.checksum ?? ''])
      await this.#send(['check-places', partition, [partition.books, ...partition.streams], places])
    }
    this.#checkedOn.set(partition, changes)
  }

  /** Runs a script with what this session knows of the partition. */
  async #send([name, partition, keys, args]: PartitionCall, isDurable = false): Promise<DurableReply> {
    const { connection } = this.#options
    const words = [...args, `${this.epoch} ${this.memoryOf(partition).ends.join(' ')}`]
    let answer: DurableReply
    try {
      answer = isDurable
        ? await connection.runDurably(name, keys, words)
        : { reply: await connection.run(name, keys, words), isReached: true }
    } catch (thrown) {
      // The next reply may come from another server.
      if (thrown instanceof MillraceError && thrown.code !== 'disk_full') this.#checkedOn.delete(partition)
      throw thrown
    }
    throwIfOver(answer.reply, this.epoch)
    return answer
  }
}

function withUnknownOutcome(thrown: unknown): never {
  if (!(thrown instanceof MillraceError && thrown.code === 'unavailable')) throw thrown
  const { code, message, cause } = thrown
  throw new MillraceError(code, `${message}; the outcome is unknown`, { cause })
}
