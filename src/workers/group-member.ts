// The membership of a worker pool in its group: reads deliveries, settles them, and joins again when the group was
// deleted or the log has begun a new epoch.
//
// Not its job: how many deliveries are taken and what is done with them (the pools).

import { type ErrorCode, type MillraceError, textWithCause, toMillraceError } from '../errors.ts'
import {
  type Consumer,
  type Delivery,
  type EventLog,
  type HeldKey,
  isEndedEpoch,
  type NextOptions,
  type Outcome,
  type StreamName,
} from '../event-log/event-log.ts'
import { sleep } from '../lib/abort.ts'
import type { Logger } from '../telemetry/logger.ts'
import { decideRetry } from './retry-policy.ts'

export interface GroupMemberOptions {
  readonly eventLog: EventLog
  readonly topic: string
  readonly group: string
  /** Recreates the topic and the group when they were deleted. */
  readonly declare: () => Promise<void>
  readonly leaseMs: number
  readonly logger: Logger
  /** 0 <= random() < 1. */
  readonly random: () => number
  /** Called when the member has joined again: what earlier consumers took is void. */
  readonly onVoid?: (reason: 'lease_lost' | 'cancelled') => void
}

export class GroupMember {
  readonly #options: GroupMemberOptions
  #consumer: Consumer | null = null
  /** How many reads of the log have failed in a row. */
  #failedReads = 0
  #readFailure: MillraceError | null = null
  /** Why deliveries cannot be settled now. */
  #settleFailure: MillraceError | null = null

  constructor(options: GroupMemberOptions) {
    this.#options = options
  }

  /** The present consumer. Deliveries that an earlier one took are void. */
  get consumer(): Consumer {
    return this.#consumer!
  }

  /** False while the log cannot be read: two reads in a row have failed. */
  get canRead(): boolean {
    return this.#failedReads < 2
  }

  /** Why the log cannot be read, or does not take what was done, with an error code as its reason; null while it can. */
  get problem(): { readonly reason: ErrorCode; readonly message: string } | null {
    const failure = this.canRead ? this.#settleFailure : this.#readFailure
    if (failure === null) return null
    const { topic, group } = this.#options
    const what = this.canRead ? 'settle what it has done' : 'read the log'
    return { reason: failure.code, message: `${group} of ${topic} cannot ${what}: ${textWithCause(failure)}` }
  }

  /** Joins the group. Errors: those of EventLog.consume. */
  async join(): Promise<void> {
    const { eventLog, topic, group, leaseMs } = this.#options
    this.#consumer = await eventLog.consume(topic, group, { leaseMs })
  }

  /** As Consumer.next, but returns nothing, after a pause, while the log cannot be read. */
  async next(bounds: NextOptions, signal: AbortSignal): Promise<readonly Delivery[]> {
    const { topic, group, logger, random } = this.#options
    const consumer = this.consumer
    try {
      const deliveries = await consumer.next({ ...bounds, signal })
      if (this.#failedReads > 0) logger.info({ topic, group }, `${group} can read the log again`)
      this.#failedReads = 0
      return deliveries
    } catch (thrown) {
      const error = toMillraceError(thrown)
      this.#noteFailedRead(error)
      if ((error.code === 'not_found' || isEndedEpoch(error)) && (await this.#joinAgain(consumer, error))) return []
      await sleep(decideRetry(error, this.#failedReads, random()).retryInMs, signal)
      return []
    }
  }

  /**
   * Settles deliveries of this consumer, and repeats that until the log accepts it, for example after a full disk; until
   * then they stay leased. Gives up when the group was deleted, the epoch has ended, or the signal is aborted.
   * @returns the deliveries that were not settled.
   */
  async settle(consumer: Consumer, outcomes: readonly Outcome[], signal: AbortSignal): Promise<readonly Delivery[]> {
    const { topic, group, logger, random } = this.#options
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const refused = await consumer.settle(outcomes)
        const count = { topic, group, refused: refused.length }
        this.#settleFailure = null
        if (refused.length > 0) logger.warn(count, 'deliveries were settled too late and will be redelivered')
        return refused
      } catch (thrown) {
        const error = toMillraceError(thrown)
        if (isEndedEpoch(error) || error.code === 'not_found') {
          const cause = isEndedEpoch(error) ? 'the log has begun a new epoch' : 'the group was deleted'
          logger.warn({ topic, group }, `${cause}: the outcomes of these deliveries are not recorded`)
          this.#settleFailure = null
          break
        }
        this.#settleFailure = error
        if (failures === 1) {
          logger.error({ topic, group, code: error.code, error }, 'deliveries cannot be settled; retrying')
        }
        await sleep(decideRetry(error, failures, random()).retryInMs, signal)
      }
    }
    return outcomes.map(({ delivery }) => delivery)
  }

  /** The keys that the log has of a stream; null when its deliveries are void, or the signal is aborted. */
  async heldKeys(stream: StreamName, signal: AbortSignal): Promise<readonly HeldKey[] | null> {
    const { eventLog, group, random } = this.#options
    while (!signal.aborted) {
      try {
        return await eventLog.heldKeys(stream, group)
      } catch (thrown) {
        const error = toMillraceError(thrown)
        if (error.code === 'not_found' || isEndedEpoch(error)) return null
        this.#noteFailedRead(error)
        await sleep(decideRetry(error, this.#failedReads, random()).retryInMs, signal)
      }
    }
    return null
  }

  #noteFailedRead(error: MillraceError): void {
    const { topic, group, logger } = this.#options
    this.#readFailure = error
    if (++this.#failedReads > 1) return
    logger.error({ topic, group, code: error.code, error }, `${group} cannot read the log; retrying`)
  }

  /** Returns what is not settled to the log. */
  async leave(): Promise<void> {
    await this.#consumer?.close()
  }

  /** Recreates the group where it is missing; returns whether it succeeded. */
  async #joinAgain(consumer: Consumer, { code }: MillraceError): Promise<boolean> {
    const { topic, group, declare, logger } = this.#options
    try {
      await declare()
      await this.join()
      await consumer.close()
      this.#options.onVoid?.(code === 'not_found' ? 'cancelled' : 'lease_lost')
      const text =
        code === 'not_found'
          ? `${group} was deleted, but this server needs it: the group was recreated`
          : `${group} has joined its group again: what it had not settled is redelivered, if it is not lost`
      logger.warn({ topic, group }, text)
      return true
    } catch {
      // The next read reports the reason.
      return false
    }
  }
}
