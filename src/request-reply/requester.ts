// Requests as their callers' server sees them: stores each as an event of its type's topic, and waits for its reply.
//
// Job: check, register, append, wait; join a request that runs. The waiter is there before the request is stored, so no
// reply is missed; what is announced is only faster than what is stored, which is read wherever an announcement may be
// missing: after a broken connection, for a request that another process has stored, and at the end of a wait.
// Not its job: answering (responder.ts), the wire (api/).

import { hash, randomUUID } from 'node:crypto'
import { MillraceError, toMillraceError } from '../errors.ts'
import { defaultContentType, EventIdGenerator } from '../event/event.ts'
import { MessageScanner } from '../event/message-scan.ts'
import { encodeBatch } from '../event/record-batch.ts'
import {
  anyCaller,
  callerAttribute,
  deadlineAttribute,
  inboxAttribute,
  isRequestType,
  maxRequestAttributes,
  maxRequestBytes,
  registrationOf,
  requestSource,
  requestTopicOf,
  requestTypeOf,
  reservedPrefix,
  respondersGroup,
} from '../event/request.ts'
import { traceAttributeNames } from '../event/trace-context.ts'
import type { EventLog, WaitingLimit } from '../event-log/event-log.ts'
import type { RequestRegistration, StoredRequest } from '../event-log/replies.ts'
import { withinMs } from '../lib/abort.ts'
import type { ReplyQuery, RequestAnswer, RequestMessage, Requests } from '../pipeline/requests.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import { PendingReplies } from './pending-replies.ts'
import { decodeReply } from './reply-encoding.ts'

/** How many calls may wait for replies in this process. */
export const maxWaitingRequests = 10_000

/** For how long a type that had workers counts as served. */
const servedForMs = 100

/** How often the reply to a request of another process is looked for: its announcement goes to that one. */
const firstLookMs = 50
const lastLookMs = 1000

/** How often that of an own request is, should its announcement have been lost unnoticed. */
const ownLookMs = 10_000

const requestIdPattern = /^[!-~]{1,255}$/

export interface RequesterOptions {
  readonly eventLog: Pick<EventLog, 'append' | 'hasConsumers' | 'replies' | 'topics'>
  /** How much may wait for the workers of one type. */
  readonly maxWaiting: WaitingLimit
  /** How long replies are kept. */
  readonly replyTtlMs: number
  readonly metrics: Metrics
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

/** A type that has workers, or had some. */
interface ServedType {
  readonly topic: string
  readonly pending: PendingReplies
  /** Null while this process gets no announcements of it. */
  listening: Promise<() => void> | null
  servedUntilMs: number
}

interface Wait {
  readonly caller: string
  readonly requestId: string
  /** By the monotonic clock. */
  readonly untilMs: number
  readonly signal: AbortSignal | undefined
}

const noBytes = new Uint8Array(0)

const accepted: StoredRequest = { stage: 'accepted' }

export class Requester implements Requests {
  readonly #options: RequesterOptions
  readonly #inbox = randomUUID()
  readonly #types = new Map<string, ServedType>()
  /** Types of which the log is being asked whether they have workers. */
  readonly #asking = new Map<string, Promise<boolean>>()
  readonly #scanner = new MessageScanner()
  readonly #ids: EventIdGenerator
  #waiting = 0
  #isDraining = false
  readonly #idle = Promise.withResolvers<void>()
  /** No call waits any more. */
  #hasEnded = false

  constructor(options: RequesterOptions) {
    this.#options = options
    this.#ids = new EventIdGenerator(options.now)
  }

  async request(message: RequestMessage, { signal }: { signal?: AbortSignal } = {}): Promise<RequestAnswer> {
    const { replyTtlMs, now, monotonicNow, metrics, logger } = this.#options
    if (this.#isDraining) throw new MillraceError('draining', 'the server is stopping: send the request to another one')
    const startedAtMs = monotonicNow()
    const { type, attributes, caller = anyCaller } = message
    const requestId = message.requestId || this.#ids.next()
    checkNames(type, requestId)
    const deadlineMs = message.deadlineMs ?? replyTtlMs
    const waitMs = Math.min(message.waitMs ?? deadlineMs, deadlineMs)
    let bytes = this.#encode(message, requestId, now() + deadlineMs)
    const fingerprint = fingerprintOf(message)
    message.data = noBytes
    const served = await this.#serving(type)
    const end = (word: string, fields: object = {}) => {
      const seconds = (monotonicNow() - startedAtMs) / 1000
      metrics.requestDuration.observe(seconds, { topic: served.topic, end: word })
      const line = { request_id: requestId, type, ...fields, duration_ms: Math.round(seconds * 1000) }
      logger.info({ ...line, ...traceFields(attributes.traceparent) }, `request ${word}`)
    }
    try {
      const once = { id: registrationOf(caller, requestId), fingerprint, ttlMs: deadlineMs + replyTtlMs }
      const send = () => {
        const event = bytes
        bytes = noBytes
        return this.#append(served, event, once)
      }
      const wait = { caller, requestId, untilMs: startedAtMs + waitMs, signal }
      const stored = await this.#waitFor(served, wait, send)
      const isLate = monotonicNow() >= startedAtMs + deadlineMs
      if (stored.stage !== 'replied' && isLate) {
        const text = `no worker has answered request ${requestId} by its deadline of ${deadlineMs} ms`
        throw new MillraceError('deadline_exceeded', text)
      }
      const answer = answerOf(requestId, stored)
      end(answer.stage, answer.stage === 'replied' ? { attempts: answer.reply.attempts } : {})
      return answer
    } catch (thrown) {
      const { code, message } = toMillraceError(thrown)
      end(code, { reason: message })
      throw thrown
    }
  }

  async getReply(
    { caller = anyCaller, requestId, type, waitMs }: ReplyQuery,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<RequestAnswer> {
    if (type !== '') checkNames(type, requestId)
    for (const each of type === '' ? await this.#knownTypes() : [type]) {
      const found = await this.#read(requestTopicOf(each), caller, requestId)
      if (found === null) continue
      if (found.stage === 'replied' || waitMs === 0) return answerOf(requestId, found)
      const untilMs = this.#options.monotonicNow() + waitMs
      return answerOf(requestId, await this.#waitFor(this.#typeOf(each), { caller, requestId, untilMs, signal }))
    }
    throw notFound(requestId)
  }

  /** Refuses new requests; waits for the replies to the others, but ends those waits before the time is up. Idempotent. */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true
    if (this.#waiting > 0) await withinMs(this.#idle.promise, graceMs / 2, null)
    this.#hasEnded = true
    for (const { pending } of this.#types.values()) pending.onMissed()
    if (this.#waiting > 0) await this.#idle.promise
    for (const { listening } of this.#types.values()) (await listening?.catch(() => null))?.()
  }

  /** The request as an event. Errors: `invalid_event`, `event_too_large`, which name the field. */
  #encode(
    { type, data, dataContentType, attributes, caller = anyCaller }: RequestMessage,
    id: string,
    deadlineAtMs: number,
  ): Uint8Array {
    const own = Object.entries(attributes)
    const reserved = own.find(([name]) => name.startsWith(reservedPrefix))
    if (reserved !== undefined)
      throw wrong('attributes', `has ${reserved[0]}: names that begin with ${reservedPrefix} are the server's`)
    if (own.length > maxRequestAttributes)
      throw wrong('attributes', `has ${own.length} entries; the limit is ${maxRequestAttributes}`)
    const size = own.reduce((sum, [name, value]) => sum + name.length + value.length, data.length)
    if (size > maxRequestBytes) {
      const text = `the data and the attributes have ${size} bytes; the limit is ${maxRequestBytes}`
      throw new MillraceError('event_too_large', text, { field: 'data' })
    }
    const added: [string, string][] = [
      [deadlineAttribute, String(deadlineAtMs)],
      [inboxAttribute, this.#inbox],
    ]
    if (caller !== anyCaller) added.push([callerAttribute, caller])
    const event = { id, source: requestSource, type, data, dataContentType, attributes: [...own, ...added] }
    const bytes = encodeBatch([event])
    const [refusal] = this.#scanner.scan(bytes).refusals
    if (refusal === undefined) return bytes
    throw new MillraceError(refusal.code, refusal.message, { field: refusal.message.split(' ', 1)[0]! })
  }

  /** The type, listened to. Errors: `unavailable` (nobody serves it, or the log does not answer). */
  async #serving(type: string): Promise<ServedType> {
    const { eventLog, monotonicNow } = this.#options
    const known = this.#types.get(type)
    const isServed = known !== undefined && monotonicNow() < known.servedUntilMs
    if (!isServed && !(await this.#hasWorkers(type))) throw unserved(type)
    const served = this.#typeOf(type)
    // Not by every request: with many of them the log would never be asked again.
    if (!isServed) served.servedUntilMs = monotonicNow() + servedForMs
    served.listening ??= eventLog.replies.listen(served.topic, this.#inbox, served.pending)
    try {
      await served.listening
    } catch (thrown) {
      served.listening = null
      throw thrown
    }
    return served
  }

  /** Asks the log once for all the requests that come meanwhile. */
  #hasWorkers(type: string): Promise<boolean> {
    const asking =
      this.#asking.get(type) ??
      this.#options.eventLog
        .hasConsumers(requestTopicOf(type), respondersGroup)
        .finally(() => this.#asking.delete(type))
    this.#asking.set(type, asking)
    return asking
  }

  #typeOf(type: string): ServedType {
    const known = this.#types.get(type)
    if (known !== undefined) return known
    const topic = requestTopicOf(type)
    const served = { topic, pending: new PendingReplies(), listening: null, servedUntilMs: 0 }
    this.#types.set(type, served)
    return served
  }

  /** Resolves with true when the log has it already. */
  async #append({ topic }: ServedType, bytes: Uint8Array, once: RequestRegistration): Promise<boolean> {
    const { eventLog, maxWaiting, now } = this.#options
    const batch = { bytes, count: 1, receivedAtMicros: now() * 1000 }
    try {
      return (await eventLog.append({ topic, partition: 0, lane: 'normal' }, [batch], { maxWaiting, once })).duplicate
    } catch (thrown) {
      if (toMillraceError(thrown).code !== 'failed_precondition') throw thrown
      const text = 'request_id was used for a request with other content: give each request an id of its own'
      throw new MillraceError('failed_precondition', text, { field: 'request_id', cause: thrown })
    }
  }

  /**
   * What is stored under the id when there is a reply, or when the wait ends.
   * @param send stores the request; true: it was stored before, perhaps by another process.
   */
  async #waitFor(
    { topic, pending }: ServedType,
    { caller, requestId, untilMs, signal }: Wait,
    send: () => Promise<boolean> = async () => true,
  ): Promise<StoredRequest> {
    const { monotonicNow } = this.#options
    if (this.#waiting >= maxWaitingRequests)
      throw new MillraceError('backlogged', `${maxWaitingRequests} requests wait for replies in this server`)
    const waiter = pending.add(registrationOf(caller, requestId))
    const wake = () => waiter.wake()
    signal?.addEventListener('abort', wake, { once: true })
    if (signal?.aborted === true) wake()
    this.#waiting++
    try {
      const isForeign = await send()
      let looksOften = isForeign
      let lookMs = isForeign ? firstLookMs : ownLookMs
      let stored = isForeign ? await this.#readOrThrow(topic, caller, requestId) : accepted
      for (;;) {
        const leftMs = untilMs - monotonicNow()
        if (stored.stage === 'replied' || leftMs <= 0) return stored
        if (this.#hasEnded) throw stopping()
        await waiter.wait(Math.min(leftMs, lookMs))
        if (waiter.reply !== null) return { stage: 'replied', bytes: waiter.reply }
        signal?.throwIfAborted()
        try {
          stored = await this.#readOrThrow(topic, caller, requestId)
        } catch (thrown) {
          // The log may answer before the wait is over.
          if (!toMillraceError(thrown).retryable || monotonicNow() >= untilMs) throw thrown
          looksOften = true
        }
        lookMs = looksOften ? Math.min(2 * lookMs, lastLookMs) : ownLookMs
      }
    } finally {
      signal?.removeEventListener('abort', wake)
      waiter.end()
      if (--this.#waiting === 0 && this.#isDraining) this.#idle.resolve()
    }
  }

  async #readOrThrow(topic: string, caller: string, requestId: string): Promise<StoredRequest> {
    const stored = await this.#read(topic, caller, requestId)
    if (stored === null) throw notFound(requestId)
    return stored
  }

  /** The types that the log has requests of. */
  async #knownTypes(): Promise<string[]> {
    return (await this.#options.eventLog.topics()).flatMap((topic) => requestTypeOf(topic) ?? [])
  }

  /** Null when nothing is stored under the id, or there is no such topic. */
  async #read(topic: string, caller: string, requestId: string): Promise<StoredRequest | null> {
    try {
      const id = registrationOf(caller, requestId)
      return await this.#options.eventLog.replies.get(topic, respondersGroup, id)
    } catch (thrown) {
      if (toMillraceError(thrown).code === 'not_found') return null
      throw thrown
    }
  }
}

function answerOf(requestId: string, stored: StoredRequest): RequestAnswer {
  if (stored.stage !== 'replied') return { requestId, stage: stored.stage, reply: null }
  return { requestId, stage: 'replied', reply: decodeReply(stored.bytes) }
}

/** Tells two requests with one id apart. The trace may differ where a request is sent again. */
function fingerprintOf({ data, dataContentType, attributes }: RequestMessage): string {
  const own = Object.entries(attributes).filter(([name]) => !traceAttributeNames.includes(name))
  const rest = JSON.stringify([dataContentType || defaultContentType, own.sort()])
  return hash('sha256', Buffer.concat([Buffer.from(rest), data]), 'base64url')
}

function checkNames(type: string, requestId: string): void {
  if (!isRequestType(type))
    throw wrong('type', `is ${JSON.stringify(type.slice(0, 80))}; it must match [a-z0-9][a-z0-9._-]{0,63}`)
  if (!requestIdPattern.test(requestId)) throw wrong('request_id', 'must have 1 to 255 visible ASCII characters')
}

function wrong(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}

function unserved(type: string): MillraceError {
  const text = `no worker serves requests of type ${type} now: start a server that has a handler of it (MILLRACE_HANDLERS), or a worker, and send the request again`
  return new MillraceError('unavailable', text)
}

function notFound(requestId: string): MillraceError {
  const text = `no request ${JSON.stringify(requestId.slice(0, 80))} is known: none was sent with this id, or its reply is no longer kept`
  return new MillraceError('not_found', text, { field: 'request_id' })
}

function stopping(): MillraceError {
  const text =
    'the server stops, and the request goes on: ask for its reply at another server, or send it again with its id'
  return new MillraceError('unavailable', text)
}
