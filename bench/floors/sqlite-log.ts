// F5: SQLite alone as a log. The same batches go through a worker thread, COMMIT awaited per group.

import { Worker } from 'node:worker_threads'
import { runBlock } from '../block.ts'
import { loggedNumbersProblems } from '../gate.ts'
import { expectedRows, MessageFactory } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface SqliteLogOptions {
  readonly eventsPerMessage: number
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
}

/** About the amount in flight on one connection: a commit of 64 batches of 100. */
const eventsPerGroup = 6400
/** One group is committed while the next is assembled. */
const groupsUnderWay = 2

class Log {
  readonly #worker: Worker
  readonly #messages: MessageFactory
  readonly #batchesPerGroup: number
  #inFlight = 0

  constructor(path: string, { eventsPerMessage, payloadBytes }: SqliteLogOptions) {
    this.#messages = new MessageFactory({ eventsPerMessage, payloadBytes })
    this.#batchesPerGroup = Math.ceil(eventsPerGroup / eventsPerMessage)
    this.#worker = new Worker(new URL('sqlite-log-thread.ts', import.meta.url), {
      workerData: { path },
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    })
  }

  get events(): number {
    return this.#messages.events
  }

  /** Appends groups for this time; resolves when all are committed. */
  appendFor(seconds: number): Promise<void> {
    const endMs = performance.now() + seconds * 1000
    const done = Promise.withResolvers<void>()
    const fill = (): void => {
      while (this.#inFlight < groupsUnderWay && performance.now() < endMs) this.#appendGroup()
      if (this.#inFlight === 0) done.resolve()
    }
    this.#worker.removeAllListeners('message')
    this.#worker.on('message', () => {
      this.#inFlight--
      fill()
    })
    this.#worker.on('error', done.reject)
    fill()
    return done.promise
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #appendGroup(): void {
    const batches = Array.from({ length: this.#batchesPerGroup }, () => this.#messages.next())
    const bytes = Buffer.concat(batches)
    const lengths = batches.map((batch) => batch.length)
    // A small buffer is a slice of Node's pool, which cannot be transferred to another thread.
    const own = bytes.length === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes)
    this.#inFlight++
    this.#worker.postMessage({ bytes: own.buffer, lengths }, [own.buffer as ArrayBuffer])
  }
}

await runBlock((options: SqliteLogOptions) =>
  withTempDirectory(async (directory) => {
    const log = new Log(`${directory}/log.db`, options)
    await log.appendFor(options.warmSeconds)
    const eventsBefore = log.events
    const cpuBefore = cpuSecondsOf(process.pid)
    const startMs = performance.now()
    await log.appendFor(options.seconds)
    const seconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSecondsOf(process.pid) - cpuBefore
    await log.close()
    const problems = loggedNumbersProblems(directory, expectedRows(log.events))
    return { events: log.events - eventsBefore, seconds, serviceCpuSeconds, durability: 'disk', problems, details: {} }
  }),
)
