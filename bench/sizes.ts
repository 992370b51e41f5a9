// Durations, sizes and repetitions of the blocks.

export interface Sizes {
  /** How often each block runs. */
  readonly rounds: number
  /** Discarded at the start of each process. */
  readonly warmSeconds: number
  readonly blockSeconds: number
  /** Shorter, because work in memory stabilizes sooner. */
  readonly inMemorySeconds: number
  readonly backlogEvents: number
  /** Events that handlers work on. */
  readonly handledEvents: number
  /** Events of a queue of slow jobs. */
  readonly slowJobs: number
  /** Events that handlers with limits work on. */
  readonly limitedEvents: number
  /** Idle workers outside the server. */
  readonly idleWorkers: number
  /** Subscribers of one feed. */
  readonly subscribers: readonly number[]
  /** Subscribers that get nothing. */
  readonly idleSubscribers: number
  /** Events for a peer that has a tenth of the speed. */
  readonly peerEvents: number
  readonly storedRows: number
  readonly deadLetters: number
  /** Entries of one event that wait in the embedded log. */
  readonly waitingEntries: number
  /** Measuring time without readers of large pages, and with them. */
  readonly readerSeconds: number
  /** Duration of the PostgreSQL outage. */
  readonly awaySeconds: number
  readonly logBytes: number
  /** Length of an uploaded file. */
  readonly uploadBytes: number
  /** Batches appended to Redis to measure the cost of one. */
  readonly costBatches: number
  /** Measuring time of an idle server, and of a server whose Redis or PostgreSQL is down. */
  readonly idleSeconds: number
  /** Time to measure the landing rate, and again to warm up under load. */
  readonly overloadWarmSeconds: number
  readonly overloadSeconds: number
  readonly maxWaitingEvents: number
  readonly overloadRounds: number
}

const mebibyte = 1024 * 1024

export const sizesByName = {
  /** Only checks that everything runs; its results mean nothing. */
  tiny: {
    rounds: 1,
    warmSeconds: 0.1,
    blockSeconds: 0.2,
    inMemorySeconds: 0.1,
    backlogEvents: 150_000,
    handledEvents: 3000,
    slowJobs: 2000,
    limitedEvents: 2000,
    idleWorkers: 40,
    subscribers: [2],
    idleSubscribers: 20,
    peerEvents: 5000,
    storedRows: 5000,
    deadLetters: 500,
    waitingEntries: 5000,
    readerSeconds: 1,
    awaySeconds: 1,
    logBytes: mebibyte,
    uploadBytes: 8 * mebibyte,
    costBatches: 200,
    idleSeconds: 1,
    overloadWarmSeconds: 0.5,
    overloadSeconds: 0.5,
    maxWaitingEvents: 2000,
    overloadRounds: 1,
  },
  quick: {
    rounds: 2,
    warmSeconds: 0.8,
    blockSeconds: 2,
    inMemorySeconds: 0.5,
    backlogEvents: 400_000,
    handledEvents: 100_000,
    slowJobs: 200_000,
    limitedEvents: 10_000,
    idleWorkers: 1000,
    subscribers: [1, 100],
    idleSubscribers: 9000,
    peerEvents: 40_000,
    storedRows: 1_000_000,
    deadLetters: 10_000,
    waitingEntries: 100_000,
    readerSeconds: 5,
    awaySeconds: 10,
    logBytes: 512 * mebibyte,
    uploadBytes: 256 * mebibyte,
    costBatches: 2000,
    idleSeconds: 5,
    overloadWarmSeconds: 2,
    overloadSeconds: 10,
    maxWaitingEvents: 100_000,
    overloadRounds: 1,
  },
  usual: {
    rounds: 4,
    warmSeconds: 5,
    blockSeconds: 10,
    inMemorySeconds: 2,
    backlogEvents: 2_000_000,
    handledEvents: 200_000,
    slowJobs: 1_000_000,
    limitedEvents: 20_000,
    idleWorkers: 1000,
    subscribers: [1, 10, 100, 1000],
    idleSubscribers: 9000,
    peerEvents: 150_000,
    storedRows: 1_000_000,
    deadLetters: 30_000,
    waitingEntries: 1_000_000,
    readerSeconds: 10,
    awaySeconds: 60,
    logBytes: 1024 * mebibyte,
    uploadBytes: 1024 * mebibyte,
    costBatches: 5000,
    idleSeconds: 20,
    overloadWarmSeconds: 5,
    overloadSeconds: 60,
    maxWaitingEvents: 1_000_000,
    overloadRounds: 1,
  },
  full: {
    rounds: 8,
    warmSeconds: 5,
    blockSeconds: 15,
    inMemorySeconds: 2,
    backlogEvents: 5_000_000,
    handledEvents: 400_000,
    slowJobs: 1_000_000,
    limitedEvents: 40_000,
    idleWorkers: 1000,
    subscribers: [1, 10, 100, 1000],
    idleSubscribers: 9000,
    peerEvents: 250_000,
    storedRows: 1_000_000,
    deadLetters: 50_000,
    waitingEntries: 10_000_000,
    readerSeconds: 20,
    awaySeconds: 300,
    logBytes: 1024 * mebibyte,
    uploadBytes: 1024 * mebibyte,
    costBatches: 5000,
    idleSeconds: 30,
    overloadWarmSeconds: 5,
    overloadSeconds: 60,
    maxWaitingEvents: 1_000_000,
    overloadRounds: 2,
  },
} as const satisfies Record<string, Sizes>

export type SizeName = keyof typeof sizesByName
