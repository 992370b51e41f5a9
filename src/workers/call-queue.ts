// Forms the calls of a handler from events that are in hand, and makes at most `concurrency()` of them at once. A call has
// one event, or a batch of events: when the batch is full, or its first event has waited long enough.

export interface CallQueueOptions<Work> {
  /** Max calls at once, now. When it has grown, `begin` is to be called. */
  readonly concurrency: () => number
  /** Max events of a batch, and how long the first one waits for the others. */
  readonly maxEvents: number
  readonly maxWaitMs: number
  /** How many calls may wait for a place now. */
  readonly ahead: () => number
  /** Whether a call with so many events may begin; when it may later, `begin` is called. */
  readonly mayBegin: (events: number) => boolean
  /** Makes a call. Never rejects; the call's place is free when it resolves. */
  readonly call: (works: readonly Work[]) => Promise<void>
  /** Called before the place of a call is free. */
  readonly onEnded: (works: readonly Work[]) => void
}

export class CallQueue<Work> {
  readonly #options: CallQueueOptions<Work>
  #calls = 0
  #begun = 0
  /** Formed, and waiting for a place. */
  readonly #formed: Work[][] = []
  #batch: Work[] = []
  #timer: NodeJS.Timeout | undefined
  #isEnding = false

  constructor(options: CallQueueOptions<Work>) {
    this.#options = options
  }

  /** How many calls can begin now, or may wait for a place. */
  get freeCalls(): number {
    const { concurrency, ahead } = this.#options
    return Math.max(0, concurrency() + ahead() - this.#calls - this.#formed.length)
  }

  /** How many events find a place in batches that can begin now. */
  get freeEvents(): number {
    return Math.max(0, this.freeCalls * this.#options.maxEvents - this.#batch.length)
  }

  /** How many calls wait for a place. */
  get waiting(): number {
    return this.#formed.length
  }

  /** How many calls have begun so far. */
  get begun(): number {
    return this.#begun
  }

  addAlone(work: Work): void {
    this.#formed.push([work])
    this.begin()
  }

  addToBatch(work: Work): void {
    const { maxEvents, maxWaitMs } = this.#options
    this.#batch.push(work)
    if (this.#batch.length >= maxEvents || this.#isEnding) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), maxWaitMs)
  }

  /** From now on no event waits for others. */
  end(): void {
    this.#isEnding = true
    this.#flush()
  }

  /** Makes a call of the events that wait for others. */
  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#batch.length > 0) this.#formed.push(this.#batch)
    this.#batch = []
    this.begin()
  }

  /** Takes out what has not begun. */
  takeBack(): Work[] {
    return [...this.#formed.splice(0).flat(), ...this.#batch.splice(0)]
  }

  /** Begins what waits for a place, as far as places are free. */
  begin(): void {
    while (this.#formed.length > 0 && this.#calls < this.#options.concurrency()) {
      if (!this.#options.mayBegin(this.#formed[0]!.length)) return
      this.#calls++
      this.#begun++
      const works = this.#formed.shift()!
      void this.#options.call(works).then(() => {
        this.#options.onEnded(works)
        this.#calls--
        this.begin()
      })
    }
  }
}
