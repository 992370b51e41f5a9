// Detects that the server has lost acknowledged data, and begins a new epoch.
//
// Every script gets what this process knows of the partition: the epoch, and how far each lane has reached. A script
// that finds a contradiction writes nothing and returns why. After a lost connection another server may reply, so the
// last entry that this process stored or read in each lane is compared too: after a failover another entry may have its
// offset.
//
// Several processes may detect this at once: one script decides the new epoch, and one script per partition begins it
// there. Later callers change nothing. If the process dies in between, the next script of any process detects it again.

import { MillraceError } from '../../../errors.ts'
import { type Lane, lanes } from '../../../event/event.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import {
  type DurableReply,
  numberOf,
  type RedisConnection,
  type Reply,
  type ScriptArgument,
  toFailure,
} from '../connection/redis-connection.ts'
import { laneNumber, type PartitionKeys, type RedisKeys } from '../redis-keys.ts'
import type { ScriptName } from '../scripts/redis-scripts.ts'

/** How many times in a row a call is retried in a new epoch. */
const maxBeginnings = 5

/**
 * `gone`: the partition's metadata is missing. `behind`: a lane ends before an offset that was known. `different`: an
 * offset has another entry. `elsewhere`: another process has already begun a new epoch.
 */
export type ResetReason = 'gone' | 'behind' | 'different' | 'elsewhere'

/** Why the epoch ended, and the new epoch. */
export interface LogReset {
  readonly reason: ResetReason
  readonly epoch: number
}

/** The epoch is over; the script that returned this has written nothing. */
export class EpochOver extends Error {
  readonly reason: ResetReason
  /** The epoch in which the script was run. */
  readonly epoch: number
  /** The epoch found on the server; 0 when there was none. */
  readonly seen: number

  constructor(reason: ResetReason, epoch: number, seen: number) {
    super(`epoch ${epoch} is over: ${reason}`)
    this.reason = reason
    this.epoch = epoch
    this.seen = seen
  }
}

/** Throws EpochOver when a script returned that. */
export function throwIfOver(reply: Reply, epoch: number): void {
  const [, reason, seen] = /^over (\S+) ?(\d*)$/.exec(wordOf(reply)) ?? []
  if (reason !== undefined) throw new EpochOver(reason as ResetReason, epoch, Number(seen))
}

function tooManyResets(cause: EpochOver): MillraceError {
  return new MillraceError(
    'unavailable',
    'Redis lost data of the log several times in a row; retry, and check its persistence and failovers',
    { cause },
  )
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
  /** By lane: the offset that the lane has reached at least. */
  readonly ends: number[]
  readonly entries: (KnownEntry | null)[]
  /** Value of #masters at the last successful check; null when a check is due. */
  checkedOn: number | null
}

export interface EpochsOptions {
  readonly connection: RedisConnection
  readonly keys: RedisKeys
  readonly epoch: number
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Recreates a partition's groups that the server has lost. */
  readonly recreateGroups: (partition: PartitionKeys) => Promise<void>
  /** Declares all topics that this process knows in a new epoch. */
  readonly begin: (epoch: number) => Promise<void>
  readonly onReset: (reset: LogReset) => void
}

export class Epochs {
  readonly #options: EpochsOptions
  readonly #partitions = new Map<string, KnownPartition>()
  #epoch: number
  #beginning: Promise<void> | null = null
  /** Counts connects, disconnects and failovers of masters. */
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

  /**
   * Runs the work in the current epoch; retries it in the next one when the epoch is over, at most maxBeginnings times.
   */
  async withEpoch<T>(work: (epoch: number) => Promise<T>): Promise<T> {
    for (let beginnings = 0; ; beginnings++) {
      try {
        return await work(this.#epoch)
      } catch (thrown) {
        if (!(thrown instanceof EpochOver)) throw thrown
        if (beginnings >= maxBeginnings) throw tooManyResets(thrown)
        await this.begin(thrown)
      }
    }
  }

  /**
   * Runs a script of a partition in an epoch.
   * Errors: EpochOver (nothing was written); NOGROUP (the group was dropped); as RedisConnection.run.
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

  /** Like `run`, and waits for the replicas (RedisConnection.runDurably). */
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
    const { recreateGroups } = this.#options
    const known = this.#knownOf(partition)
    if (known.checkedOn !== this.#masters) await this.#check(epoch, partition, known)
    for (let isSecond = false; ; isSecond = true) {
      const reply = await this.#run(epoch, name, known, keys, args, isDurable)
      if (wordOf(reply.reply) !== 'nogroup') return reply
      if (isSecond) throw toFailure(new Error('NOGROUP there is no such group'))
      await recreateGroups(partition)
    }
  }

  /** Remembers how far a lane has reached, and its last known entry. */
  note(epoch: number, partition: PartitionKeys, lane: Lane, end: number, entry: KnownEntry | null): void {
    // A reply from an ended epoch says nothing about the current one.
    if (epoch !== this.#epoch) return
    const { ends, entries } = this.#knownOf(partition)
    const index = laneNumber(lane) - 1
    ends[index] = Math.max(ends[index]!, end)
    if (entry !== null) entries[index] = entry
  }

  /** Begins the next epoch. Idempotent: an epoch is ended only once. */
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
        if (beginnings >= maxBeginnings) throw tooManyResets(thrown)
        least = Math.max(least, thrown.seen, epoch)
        continue
      }
      this.#epoch = epoch
      this.#partitions.clear()
      logger.warn({ reason, epoch, before: over }, 'Redis has lost acknowledged data: the log begins a new epoch')
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
      // The next reply may come from another server.
      if (thrown instanceof MillraceError && thrown.code !== 'disk_full') known.checkedOn = null
      throw thrown
    }
    throwIfOver(answer.reply, epoch)
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
