// What a driver provides for the tests, and a log under test that can crash and be reopened.

import type { Lane } from '../../src/event/event.ts'
import type { RecordBatch } from '../../src/event/record-batch.ts'
import type { Consumer, EventLog } from '../../src/event-log/event-log.ts'
import { group, leaseMs, stream, topic } from './event-log-verbs.ts'

/** A separate log for one test. */
export interface LogUnderTest {
  /** Opens it, with all that was durable when it was closed or crashed. */
  open(): Promise<EventLog>
  /** Ends it as kill -9 of its process would. The object must not be used after that. */
  crash(eventLog: EventLog): Promise<void>
  /** The clock that the log uses, in milliseconds since 1970. */
  now(): number
  /** Advances that clock. */
  passTime(ms: number): Promise<void>
  destroy(): Promise<void>
}

export interface EventLogHarness {
  readonly driver: string
  /** Creates an empty log. */
  create(): Promise<LogUnderTest>
}

/** An open log under test. `restart` and `crash` reopen it. */
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

  /** Kills the log, reopens it and lets all leases expire. */
  async crash(): Promise<void> {
    await this.under.crash(this.#eventLog)
    this.#eventLog = await this.under.open()
    await this.under.passTime(leaseMs + 1)
  }
}
