// Collects appends: while those of one call are being stored, all others wait for the next one, which is sent at the end
// of a turn of the event loop. There is no timer.

import type { RecordBatch } from '../../../event/record-batch.ts'
import type { Appended, AppendOptions, CommitStats, Position, StreamName } from '../../event-log.ts'
import type { RequestRegistration } from '../../replies.ts'
import { type AppendsAnswer, type AppendsCall, appended, appendFields, duplicate, storedFields } from '../protocol.ts'
import { type LogCalls, toError } from './log-calls.ts'
import { PackBuffer } from './pack-buffer.ts'
import { type BatchToPack, packBatches } from './packed-batches.ts'
import type { RecentEntries } from './recent-entries.ts'

/** Max bytes of appends after which a call takes no more of them. */
const maxCallBytes = 8 * 1024 * 1024

const resend: Appended = Object.freeze({ positions: [], duplicate: true })

interface PendingAppend {
  readonly stream: StreamName
  readonly batches: readonly RecordBatch[]
  readonly options: AppendOptions
  /** How many refusals of its stream were delivered when it was made. */
  readonly seenRefusals: number
  resolve(appended: Appended): void
  reject(reason: unknown): void
}

export interface AppendQueueOptions {
  readonly calls: LogCalls
  readonly epoch: number
  readonly recent: RecentEntries
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly onCommit: (stats: CommitStats) => void
  /** Called with what each call shows of the room on the disk. */
  readonly onRoom: (hasRoom: boolean) => void
}

export class AppendQueue {
  readonly #options: AppendQueueOptions
  readonly #buffer = new PackBuffer()
  #pending: PendingAppend[] = []
  #inFlight: Promise<void> | null = null
  #isSent = false
  /** Whether the entries of the last call stay in memory, as those of the next one probably will. */
  #isWanted = true
  /** Delivered refusals by stream. */
  readonly #refusals = new Map<string, number>()

  constructor(options: AppendQueueOptions) {
    this.#options = options
    options.calls.beforeSend(() => this.#join())
  }

  append(stream: StreamName, batches: readonly RecordBatch[], options: AppendOptions): Promise<Appended> {
    const seenRefusals = this.#refusals.get(keyOf(stream)) ?? 0
    return new Promise((resolve, reject) => {
      this.#pending.push({ stream, batches, options, seenRefusals, resolve, reject })
      if (this.#pending.length === 1) this.#options.calls.sendSoon()
    })
  }

  /** Resolves when everything appended before is decided. */
  async drained(): Promise<void> {
    while (this.#pending.length > 0 || this.#inFlight !== null) {
      this.flush()
      await this.#inFlight
    }
  }

  /**
   * Adds the appends to the calls of this turn. While others are in flight, all calls wait: the engine would make them
   * transactions of their own, and a flush of the disk for each would delay the next appends.
   */
  #join(): boolean {
    if (this.#isSent) return false
    this.flush()
    this.#isSent = this.#inFlight !== null
    return true
  }

  /** Calls with what has collected, unless a call is in flight, so that it comes before what the caller sends next. */
  flush(): void {
    if (this.#inFlight !== null) return
    const taken = this.#take()
    if (taken.length === 0) return
    const call = this.#pack(taken)
    this.#inFlight = this.#options.calls.ask('append', call, [call.bytes.buffer]).then(
      (answer) => this.#settle(taken, call, answer),
      (reason) => {
        this.#inFlight = null
        this.#isSent = false
        this.#options.calls.sendSoon()
        for (const { reject } of [...taken, ...this.#pending.splice(0)]) reject(reason)
      },
    )
  }

  #take(): PendingAppend[] {
    let bytes = 0
    let count = 0
    while (count < this.#pending.length && bytes < maxCallBytes) {
      for (const batch of this.#pending[count++]!.batches) bytes += batch.bytes.length
    }
    return this.#pending.splice(0, count)
  }

  #pack(taken: readonly PendingAppend[]): AppendsCall {
    const streams = new Indexed<StreamName>()
    const producers = new Indexed<string>()
    const registrations: RequestRegistration[] = []
    const batches: BatchToPack[] = []
    const appends = new Float64Array(taken.length * appendFields)
    let at = 0
    for (const { stream, batches: own, options, seenRefusals } of taken) {
      const { maxWaiting, producer, once } = options
      const place = streams.indexOf(keyOf(stream), () => Object.freeze({ ...stream }))
      for (const batch of own) batches.push({ batch, place })
      appends[at] = place
      appends[at + 1] = own.length
      appends[at + 2] = seenRefusals
      appends[at + 3] = maxWaiting?.maxEvents ?? -1
      appends[at + 4] = maxWaiting?.maxBytes ?? -1
      appends[at + 5] = producer === undefined ? -1 : producers.indexOf(producer.id, () => producer.id)
      appends[at + 6] = producer?.epoch ?? -1
      appends[at + 7] = producer?.sequence ?? -1
      appends[at + 8] = once === undefined ? -1 : registrations.push(once) - 1
      at += appendFields
    }
    const allocate = (length: number) => (this.#isWanted ? this.#buffer.fresh(length) : this.#buffer.take(length))
    const packed = packBatches(batches, streams.all.length, allocate)
    const names = { streams: streams.all, producers: producers.all }
    return { ...packed, appends, ...names, registrations, nowMs: this.#options.now() }
  }

  #settle(taken: readonly PendingAppend[], call: AppendsCall, answer: AppendsAnswer): void {
    const { onCommit, onRoom } = this.#options
    this.#inFlight = null
    this.#isSent = false
    this.#options.calls.sendSoon()
    this.#remember(answer)
    call.streams.forEach((stream, index) => {
      const generation = answer.generations[index]!
      if (generation > 0) this.#refusals.set(keyOf(stream), generation)
    })
    const isFull = answer.refusals.some(({ refused }) => refused === 'disk_full')
    if (isFull || answer.entries.length > 0) onRoom(!isFull)
    if (answer.entries.length > 0) onCommit(answer.stats)
    const errors = answer.refusals.map(toError)
    let batch = 0
    taken.forEach(({ batches, resolve, reject }, index) => {
      const outcome = answer.outcomes[index]!
      if (outcome === duplicate) resolve(resend)
      else if (outcome !== appended) reject(errors[outcome])
      else {
        const stream = call.streams[call.appends[index * appendFields]!]!
        const positions = this.#positions(stream, answer.offsets.subarray(batch, batch + batches.length))
        resolve({ positions, duplicate: false })
      }
      batch += batches.length
    })
  }

  #positions(stream: StreamName, offsets: Float64Array): Position[] {
    const { epoch } = this.#options
    return Array.from(offsets, (offset) => ({ stream, epoch, offset }))
  }

  #remember({ entries, bytes }: AppendsAnswer): void {
    this.#isWanted = false
    for (let at = 0; at < entries.length; at += storedFields) {
      const [start, takers] = [entries[at + 1]!, entries[at + 3]!]
      if (takers > 0) this.#isWanted = true
      this.#options.recent.add(entries[at]!, bytes.subarray(start, start + entries[at + 2]!), takers)
    }
    if (!this.#isWanted) this.#buffer.giveBack(bytes.buffer)
  }
}

/** Distinct values in the order in which they came, by key. */
class Indexed<T> {
  readonly all: T[] = []
  readonly #indexOf = new Map<string, number>()

  indexOf(key: string, make: () => T): number {
    let index = this.#indexOf.get(key)
    if (index === undefined) {
      index = this.all.push(make()) - 1
      this.#indexOf.set(key, index)
    }
    return index
  }
}

function keyOf({ topic, partition, lane }: StreamName): string {
  return `${partition}/${lane}/${topic}`
}
