// What a driver gives to be tested, and a log under test that can crash and be opened again.

import type { Lane } from '../../src/event/event.ts'
import type { RecordBatch } from '../../src/event/record-batch.ts'
import type { Consumer, EventLog } from '../../src/event-log/event-log.ts'
import { group, leaseMs, stream, topic } from './event-log-verbs.ts'

/** A log of its own for one test. */
export interface LogUnderTest {
  /** Opens it, with all that was durable when it was closed or crashed. */
  open(): Promise<EventLog>
  /** Ends it as kill -9 of its process would. The object must not be used after that. */
  crash(eventLog: EventLog): Promise<void>
  /** The clock by which the log goes, in milliseconds since 1970. */
  now(): number
  /** Moves that clock on. */
  passTime(ms: number): Promise<void>
  destroy(): Promise<void>
}

export interface EventLogHarness {
  readonly driver: string
  /** Makes an empty log. */
  create(): Promise<LogUnderTest>
}

/** A log under test that is open. `restart` and `crash` open it again. */
export class Bench {
  readonly under: LogUnderTest
  #eventLog: EventLog

  constructor(under: LogUnderTest, eventLog: EventLog) {
    this.under = under
    this.#eventLog = eventLog
  }

  get log(): EventLog {
    return this.#eventLog
  }

  consume(name = group): Promise<Consumer> {
    return this.#eventLog.consume(topic, name, { leaseMs })
  }

  append(lane: Lane, ...batches: RecordBatch[]) {
    return this.#eventLog.append(stream(lane), batches)
  }

  async restart(): Promise<void> {
    await this.#eventLog.close()
    this.#eventLog = await this.under.open()
  }

  /** Ends the log without a word, opens it again and lets all leases run out. */
  async crash(): Promise<void> {
    await this.under.crash(this.#eventLog)
    this.#eventLog = await this.under.open()
    await this.under.passTime(leaseMs + 1)
  }
}
