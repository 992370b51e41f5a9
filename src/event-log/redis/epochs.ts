// Notices that the server has forgotten what it had acknowledged, and begins a new epoch.
//
// What this process knows of a partition goes along with every script: the epoch, and how far each lane reached. A script
// that finds something else writes nothing and says so. After a connection was lost, for then another server may answer,
// the last entry that this process stored or read in each lane is compared too: after a failover its place may be another's.
//
// Several processes may notice at once: one step on the server decides which epoch holds, and in each partition one step
// begins it. Who comes later finds it done. What ended half-way is noticed again by whoever comes next.

import { MillraceError } from '../../errors.ts'
import { type Lane, lanes } from '../../event/event.ts'
import type { Logger } from '../../telemetry/logger.ts'
import {
  type DurableReply,
  numberOf,
  type RedisConnection,
  type Reply,
  type ScriptArgument,
  toFailure,
} from './redis-connection.ts'
import { laneNumber, type PartitionKeys, type RedisKeys } from './redis-keys.ts'
import type { ScriptName } from './redis-scripts.ts'

/** So many times in a row a call goes on with a new epoch. */
const maxBeginnings = 5

/** `gone`: the books are missing. `behind`: they end before what is known. `different`: a place has another entry. */
export type ResetReason = 'gone' | 'behind' | 'different' | 'elsewhere'

/** Why, and what the log is now. `elsewhere`: another process noticed first. */
export interface LogReset {
  readonly reason: ResetReason
  readonly epoch: number
}

/** The epoch is over: the script that said so has done nothing. */
export class EpochOver extends Error {
  readonly reason: ResetReason
  /** The epoch in which this was asked. */
  readonly epoch: number
  /** The epoch that was found; 0 when none was. */
  readonly seen: number

  constructor(reason: ResetReason, epoch: number, seen: number) {
    super(`epoch ${epoch} is over: ${reason}`)
    this.reason = reason
    this.epoch = epoch
    this.seen = seen
  }
}

/** Throws EpochOver when that is the answer of a script. */
export function refuseOver(reply: Reply, epoch: number): void {
  const [, reason, seen] = /^over (\S+) ?(\d*)$/.exec(wordOf(reply)) ?? []
  if (reason !== undefined) throw new EpochOver(reason as ResetReason, epoch, Number(seen))
}

function forgetful(cause: EpochOver): MillraceError {
  return new MillraceError('unavailable', 'Redis forgets the log again and again', { cause })
}

function wordOf(reply: Reply): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : ''
}

/** An entry that this process has stored or read. */
export interface KnownEntry {
  readonly id: string
  readonly checksum: string
}

interface KnownPartition {
  /** By lane: the offset that it reached at least. */
  readonly ends: number[]
  readonly entries: (KnownEntry | null)[]
  /** The masters with which it was as it should be (#masters); null when that has to be looked at. */
  checkedOn: number | null
}

export interface EpochsOptions {
  readonly connection: RedisConnection
  readonly keys: RedisKeys
  readonly epoch: number
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Makes a partition's groups that the server has forgotten. */
  readonly makeAgain: (partition: PartitionKeys) => Promise<void>
  /** Declares all that this process knows in a new epoch. */
  readonly begin: (epoch: number) => Promise<void>
  readonly onReset: (reset: LogReset) => void
}

export class Epochs {
  readonly #options: EpochsOptions
  readonly #partitions = new Map<string, KnownPartition>()
  #epoch: number
  #beginning: Promise<void> | null = null
  /** How often a master was connected or lost, or another has taken over. */
  #masters = 0

  constructor(options: EpochsOptions) {
    this.#options = options
    this.#epoch = options.epoch
    options.connection.onMastersChanged(() => {
      this.#masters++
    })
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Does something in the epoch that holds, and once more in the next when it is over. */
  async goOn<T>(work: (epoch: number) => Promise<T>): Promise<T> {
    for (let beginnings = 0; ; beginnings++) {
      try {
        return await work(this.#epoch)
      } catch (thrown) {
        if (!(thrown instanceof EpochOver)) throw thrown
        if (beginnings >= maxBeginnings) throw forgetful(thrown)
        await this.begin(thrown)
      }
    }
  }

  /**
   * Runs a script of a partition in an epoch.
   * Errors: EpochOver (nothing was done); NOGROUP (the group was dropped); as RedisConnection.run.
   */
  async run(
    epoch: number,
    name: ScriptName,
    partition: PartitionKeys,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<Reply> {
    return (await this.#runIn(epoch, name, partition, keys, args, false)).reply
  }

  /** As `run`, and waits for the replicas (RedisConnection.runDurably). */
  runDurably(
    epoch: number,
    name: ScriptName,
    partition: PartitionKeys,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): Promise<DurableReply> {
    return this.#runIn(epoch, name, partition, keys, args, true)
  }

  async #runIn(
    epoch: number,
    name: ScriptName,
    partition: PartitionKeys,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    isDurable: boolean,
  ): Promise<DurableReply> {
    const { makeAgain } = this.#options
    const known = this.#knownOf(partition)
    if (known.checkedOn !== this.#masters) await this.#check(epoch, partition, known)
    for (let isSecond = false; ; isSecond = true) {
      const reply = await this.#run(epoch, name, known, keys, args, isDurable)
      if (wordOf(reply.reply) !== 'nogroup') return reply
      if (isSecond) throw toFailure(new Error('NOGROUP there is no such group'))
      await makeAgain(partition)
    }
  }

  /** Remembers how far a lane reached, and an entry of it. */
  note(epoch: number, partition: PartitionKeys, lane: Lane, end: number, entry: KnownEntry | null): void {
    // What was asked before it ended says nothing of the epoch that holds.
    if (epoch !== this.#epoch) return
    const { ends, entries } = this.#knownOf(partition)
    const index = laneNumber(lane) - 1
    ends[index] = Math.max(ends[index]!, end)
    if (entry !== null) entries[index] = entry
  }

  /** Goes over to the next epoch. Idempotent: for one that is over only once. */
  async begin(over: EpochOver): Promise<void> {
    if (over.epoch !== this.#epoch) return
    this.#beginning ??= this.#begin(over).finally(() => {
      this.#beginning = null
    })
    await this.#beginning
  }

  async #begin({ reason, epoch: over, seen }: EpochOver): Promise<void> {
    const { connection, keys, logger, begin, onReset } = this.#options
    let least = seen
    for (let beginnings = 0; ; beginnings++) {
      const epoch = numberOf(await connection.run('raise-epoch', [keys.topics], [over, least]))
      try {
        await begin(epoch)
      } catch (thrown) {
        if (!(thrown instanceof EpochOver)) throw thrown
        if (beginnings >= maxBeginnings) throw forgetful(thrown)
        least = Math.max(least, thrown.seen, epoch)
        continue
      }
      this.#epoch = epoch
      this.#partitions.clear()
      logger.warn(
        { reason, epoch, before: over },
        'Redis has lost what it had acknowledged: a new epoch of the log begins',
      )
      onReset({ reason, epoch })
      return
    }
  }

  async #check(epoch: number, partition: PartitionKeys, known: KnownPartition): Promise<void> {
    const masters = this.#masters
    if (known.ends.some((end) => end > 0)) {
      const places = known.entries.flatMap((entry) => [entry?.id ?? '', entry?.checksum ?? ''])
      await this.#run(epoch, 'check-places', known, [partition.books, ...partition.streams], places, false)
    }
    known.checkedOn = masters
  }

  async #run(
    epoch: number,
    name: ScriptName,
    known: KnownPartition,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    isDurable: boolean,
  ): Promise<DurableReply> {
    const { connection } = this.#options
    const words = [...args, `${epoch} ${known.ends.join(' ')}`]
    let answer: DurableReply
    try {
      answer = isDurable
        ? await connection.runDurably(name, keys, words)
        : { reply: await connection.run(name, keys, words), isReached: true }
    } catch (thrown) {
      // Whoever answers next may be another server.
      if (thrown instanceof MillraceError && thrown.code === 'unavailable') known.checkedOn = null
      throw thrown
    }
    refuseOver(answer.reply, epoch)
    return answer
  }

  #knownOf({ books }: PartitionKeys): KnownPartition {
    let known = this.#partitions.get(books)
    if (known === undefined) {
      known = { ends: lanes.map(() => 0), entries: lanes.map(() => null), checkedOn: null }
      this.#partitions.set(books, known)
    }
    return known
  }
}
