// Appends the slices of one stream to the log, and queues slices that wait for room.
//
// Job: keep the order of slices that wait. While there is room, every slice is appended at once, with many in flight.
// When a slice that may wait is refused, it and all later ones are queued and retried in order; the log refuses in
// order too (its contract), so nothing overtakes. A slice that may not wait is refused while others are queued:
// otherwise it would take the room for which they wait.
// After a refusal the gate is closed for a moment: what may not wait is refused without asking the log, which keeps the
// cost of an overload away from what drains it. Then one slice goes through as a probe.
// Not its job: what happens to a refused slice (ingest.ts). The queue has no limit of its own, because each caller
// holds a bounded number of slices (api/ stops reading a stream, a unary call has one).

import { MillraceError } from '../errors.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import type { Appended, AppendOptions, EventLog, StreamName } from '../event-log/event-log.ts'
import { sleep } from '../lib/abort.ts'

/** While the log refuses, the head of the queue is retried, or a probe goes through, at this interval. */
const retryMs = 20

export interface RoomWait {
  /** How long a slice may wait for room; 0 when it may not wait, Infinity for no limit. */
  readonly maxWaitMs: number
  /** Ends the wait. */
  readonly signal: AbortSignal | undefined
  /** Called when the wait begins. */
  readonly onWait: (() => void) | undefined
}

interface WaitingSlice {
  readonly batches: readonly RecordBatch[]
  readonly options: AppendOptions
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: unknown) => void
  /** The log's last refusal: the slice is rejected with it when its time is up. */
  refusal: MillraceError
  /** Set when the wait ended during a retry: the error if that retry is refused. */
  endedWith: MillraceError | null
}

export class StreamGate {
  /** The stream, as `topic/partition/lane`. */
  readonly name: string
  readonly #eventLog: EventLog
  readonly #stream: StreamName
  readonly #monotonicNow: () => number
  #queue: WaitingSlice[] = []
  /** The slices of the queue that are being appended now. */
  #trying: readonly WaitingSlice[] = []
  /** The last refusal, while slices wait. */
  #refusal: MillraceError | null = null
  /** The last refusal, and until when it stands for later slices that may not wait. */
  #closedWith: MillraceError | null = null
  #closedUntilMs = 0
  /** Set for good by `endWaits`: the error of every slice that would wait. */
  #noWaits: MillraceError | null = null

  /** @param monotonicNow a clock, in milliseconds. */
  constructor(eventLog: EventLog, stream: StreamName, monotonicNow: () => number) {
    this.#eventLog = eventLog
    this.#stream = stream
    this.#monotonicNow = monotonicNow
    this.name = `${stream.topic}/${stream.partition}/${stream.lane}`
  }

  /** Why a slice that may not wait is refused now; null when the log must be asked. */
  get refusal(): MillraceError | null {
    if (this.#refusal !== null || this.#closedWith === null) return this.#refusal
    return this.#monotonicNow() < this.#closedUntilMs ? this.#closedWith : null
  }

  /** Appends the slice; if it may wait, waits for room first. Errors: those of EventLog.append. */
  async append(batches: readonly RecordBatch[], options: AppendOptions, wait: RoomWait): Promise<Appended> {
    // The slice is the probe: until it is answered, the gate is closed for the next ones.
    if (this.#closedWith !== null) this.#closedUntilMs = this.#monotonicNow() + retryMs
    try {
      const appended = await this.#append(batches, options, wait)
      this.#closedWith = null
      return appended
    } catch (error) {
      if (isRefusal(error)) {
        this.#closedWith = error
        this.#closedUntilMs = this.#monotonicNow() + retryMs
      }
      throw error
    }
  }

  #append(batches: readonly RecordBatch[], options: AppendOptions, wait: RoomWait): Promise<Appended> {
    if (this.#refusal !== null) {
      if (wait.maxWaitMs === 0) return Promise.reject(this.#refusal)
      return this.#enqueue(batches, options, wait, this.#refusal)
    }
    const appended = this.#eventLog.append(this.#stream, batches, options)
    if (wait.maxWaitMs === 0) return appended
    return appended.catch((error: unknown) => {
      if (!isRefusal(error)) throw error
      return this.#enqueue(batches, options, wait, error)
    })
  }

  #enqueue(
    batches: readonly RecordBatch[],
    options: AppendOptions,
    { maxWaitMs, signal, onWait }: RoomWait,
    refusal: MillraceError,
  ): Promise<Appended> {
    if (this.#noWaits !== null) return Promise.reject(this.#noWaits)
    onWait?.()
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const slice: WaitingSlice = {
        batches,
        options,
        refusal,
        endedWith: null,
        resolve: (appended) => {
          finish()
          resolve(appended)
        },
        reject: (error) => {
          finish()
          reject(error)
        },
      }
      const abort = () => this.#leave(slice, new MillraceError('cancelled', 'the call ended while it waited for room'))
      const timer = Number.isFinite(maxWaitMs)
        ? setTimeout(() => this.#leave(slice, slice.refusal), maxWaitMs)
        : undefined
      this.#queue.push(slice)
      if (signal?.aborted === true) abort()
      else signal?.addEventListener('abort', abort, { once: true })
      if (this.#refusal === null) void this.#pump(refusal)
    })
  }

  /** Rejects every waiting slice, and from now on every slice that would wait, with this error. */
  endWaits(error: MillraceError): void {
    this.#noWaits = error
    for (const slice of [...this.#queue, ...this.#trying]) this.#leave(slice, error)
  }

  #leave(slice: WaitingSlice, answer: MillraceError): void {
    const place = this.#queue.indexOf(slice)
    if (place < 0) {
      // It is being appended now: the log's answer decides.
      slice.endedWith = answer
      return
    }
    this.#queue.splice(place, 1)
    slice.reject(answer)
  }

  /** Appends the queued slices in bursts: one slice after a refusal, doubled after each burst without a refusal. */
  async #pump(refusal: MillraceError): Promise<void> {
    this.#refusal = refusal
    let burst = 1
    await sleep(retryMs)
    while (this.#queue.length > 0) {
      this.#trying = this.#queue.splice(0, burst)
      const refused = await this.#tryInOrder(this.#trying)
      this.#trying = []
      burst *= 2
      if (refused.length > 0) {
        this.#refusal = refused[0]!.refusal
        this.#queue.unshift(...refused.filter((slice) => slice.endedWith === null))
        for (const slice of refused) if (slice.endedWith !== null) slice.reject(slice.endedWith)
        burst = 1
        await sleep(retryMs)
      }
    }
    this.#refusal = null
  }

  /** Appends slices without waiting for one before the next; returns those that were refused again, in order. */
  async #tryInOrder(slices: readonly WaitingSlice[]): Promise<WaitingSlice[]> {
    const outcomes = slices.map((slice) => {
      const appended = this.#eventLog.append(this.#stream, slice.batches, slice.options)
      return appended.then(slice.resolve, (error: unknown) => {
        if (isRefusal(error)) slice.refusal = error
        else slice.reject(error)
        return isRefusal(error)
      })
    })
    const wasRefused = await Promise.all(outcomes)
    return slices.filter((_, index) => wasRefused[index] === true)
  }
}

/** Whether the log refused an append because there is no room: nothing was written. */
export function isRefusal(error: unknown): error is MillraceError {
  return error instanceof MillraceError && (error.code === 'backlogged' || error.code === 'disk_full')
}
