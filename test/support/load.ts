// Producers that keep a journal and retry: unanswered events are resent with the same ids to the server's current
// address.

import { setTimeout as sleep } from 'node:timers/promises'
import { orders, type TestEvent } from './events.ts'
import { RawGrpcClient } from './grpc-client.ts'
import { postEvents } from './http-client.ts'
import type { Answer, Attempt, Journal } from './journal.ts'

/** The server's addresses; reread for each connection, because a restarted server has other ports. */
export interface Target {
  readonly grpc: string
  readonly http: string
}

export interface LoadOptions {
  /** Names the producer in the journal: its events must keep their order. */
  readonly name: string
  /** How many events to send; without it, until `signal` aborts. */
  readonly events?: number
  /** Events in one message. */
  readonly batchEvents?: number
  readonly topic?: string
  /** Pause between two messages, in milliseconds. */
  readonly pauseMs?: number
  /** Fields of all events besides id and number. */
  readonly event?: TestEvent
  /** Stops new events; those in flight are still retried until answered. */
  readonly signal?: AbortSignal
  /** When to give up on unanswered events, in milliseconds after the start. */
  readonly withinMs?: number
}

type Sendable = TestEvent & { readonly id: string; readonly source: string }

const callDeadlineMs = 5000

/** Consecutive unary Publish calls. */
export async function loadUnary(target: Target, journal: Journal, options: LoadOptions): Promise<void> {
  const connection = new Reconnecting(() => new RawGrpcClient(target.grpc))
  try {
    await sendAll(journal, options, async (events) => {
      const fields = { events, topic: options.topic ?? '' }
      const { rejections } = await connection.use((client) => client.publish(fields, { deadlineMs: callDeadlineMs }))
      return answersOf(events.length, rejections)
    })
  } finally {
    connection.close()
  }
}

/** Consecutive PublishStream calls of four messages each. */
export async function loadStream(target: Target, journal: Journal, options: LoadOptions): Promise<void> {
  const connection = new Reconnecting(() => new RawGrpcClient(target.grpc))
  try {
    await sendAll(journal, options, async (events) => {
      const summary = await connection.use(async (client) => {
        const stream = client.publishStream({ deadlineMs: callDeadlineMs })
        const size = Math.ceil(events.length / 4)
        for (let at = 0; at < events.length; at += size) {
          await stream.send({ events: events.slice(at, at + size), topic: options.topic ?? '' })
        }
        stream.call.end()
        return stream.summary
      })
      return answersOf(events.length, summary.rejections)
    })
  } finally {
    connection.close()
  }
}

/** Consecutive HTTP requests with a JSON array each. */
export async function loadHttp(target: Target, journal: Journal, options: LoadOptions): Promise<void> {
  await sendAll(journal, options, async (events) => {
    const body = JSON.stringify(
      events.map(({ id, source, type, data }) => ({ id, source, type, data: JSON.parse(String(data)) })),
    )
    const query = options.topic === undefined ? '' : `topic=${options.topic}`
    const { status, text } = await postEvents(target.http, body, { query, deadlineMs: callDeadlineMs })
    if (status === 408 || status >= 500) throw new Error(`HTTP ${status}`)
    const { rejections = [] } = JSON.parse(text) as { rejections?: { index: number; count?: number }[] }
    return answersOf(events.length, rejections)
  })
}

/** Sends messages one at a time, each until it is answered. */
async function sendAll(
  journal: Journal,
  options: LoadOptions,
  send: (events: readonly Sendable[]) => Promise<Answer[]>,
): Promise<void> {
  const giveUpAt = performance.now() + (options.withinMs ?? 60_000)
  for (const batch of messages(options)) {
    for (let unanswered = batch; unanswered.length > 0; ) {
      if (performance.now() > giveUpAt) throw new Error(`${options.name} could not get its events answered`)
      const attempts = attemptAll(journal, options.name, unanswered)
      const answers = await send(unanswered).catch(() => null)
      if (answers !== null) for (const [index, attempt] of attempts.entries()) attempt.answer = answers[index] as Answer
      unanswered = unanswered.filter((_, index) => answers?.[index] !== 'accepted')
      if (unanswered.length > 0) await sleep(30)
    }
    await sleep(options.pauseMs ?? 0)
  }
}

function* messages(options: LoadOptions): Generator<Sendable[]> {
  const { events = Number.POSITIVE_INFINITY, batchEvents = 20, event = {} } = options
  for (let made = 0; made < events && options.signal?.aborted !== true; made += batchEvents) {
    yield orders(Math.min(batchEvents, events - made), event)
  }
}

function attemptAll(journal: Journal, producer: string, events: readonly Sendable[]): Attempt[] {
  return events.map((event) => journal.attempt(producer, event))
}

function answersOf(
  events: number,
  rejections: readonly { readonly index: bigint | number; readonly count?: number }[],
): Answer[] {
  const answers = new Array<Answer>(events).fill('accepted')
  for (const { index, count } of rejections) answers.fill('rejected', Number(index), Number(index) + (count || 1))
  return answers
}

/** A client that is replaced after an error. */
class Reconnecting {
  readonly #connect: () => RawGrpcClient
  #client: RawGrpcClient | null = null

  constructor(connect: () => RawGrpcClient) {
    this.#connect = connect
  }

  async use<T>(call: (client: RawGrpcClient) => Promise<T>): Promise<T> {
    this.#client ??= this.#connect()
    try {
      return await call(this.#client)
    } catch (failure) {
      this.close()
      throw failure
    }
  }

  close(): void {
    this.#client?.close()
    this.#client = null
  }
}

interface Outstanding {
  readonly sequence: number
  readonly events: readonly Sendable[]
  attempts: Attempt[]
}

/** One Produce with a window of unacknowledged messages. After a cut it resends from `acked_through + 1`. */
export async function loadProduce(
  target: Target,
  journal: Journal,
  options: LoadOptions & { readonly windowMessages?: number },
): Promise<void> {
  const { name, windowMessages = 16 } = options
  const giveUpAt = performance.now() + (options.withinMs ?? 60_000)
  const producerId = `${name}-${Math.random().toString(36).slice(2)}`
  const source = messages(options)
  const window: Outstanding[] = []
  let lastSequence = 0
  let finished = false
  while (!finished) {
    if (performance.now() > giveUpAt) throw new Error(`${name} could not get its events answered`)
    const client = new RawGrpcClient(target.grpc)
    const produce = client.produce()
    let over = false
    void produce.ended.then(() => {
      over = true
    })
    const send = (message: Outstanding): Promise<void> => {
      message.attempts = attemptAll(journal, name, message.events)
      const { sequence, events } = message
      return produce.send({ producerId, sequence, events, topic: options.topic ?? '' })
    }
    for (const message of window) await send(message)
    let read = 0
    let lastNewsAt = performance.now()
    while (!over) {
      for (; read < produce.responses.length; read++) {
        lastNewsAt = performance.now()
        const { ackedThrough, rejections } = produce.responses[read] as (typeof produce.responses)[number]
        for (const { sequence, index, count } of rejections) {
          const attempts = window.find((message) => message.sequence === Number(sequence))?.attempts ?? []
          for (const attempt of attempts.slice(Number(index), Number(index) + (count || 1))) attempt.answer = 'rejected'
        }
        while (window[0] !== undefined && window[0].sequence <= Number(ackedThrough)) {
          for (const attempt of window.shift()?.attempts ?? []) {
            if (attempt.answer === 'unknown') attempt.answer = 'accepted'
          }
        }
      }
      if (performance.now() - lastNewsAt > callDeadlineMs && window.length > 0) break
      const next: IteratorResult<Sendable[]> =
        window.length < windowMessages ? source.next() : { done: false, value: [] as Sendable[] }
      if (next.done === true && window.length === 0) {
        finished = true
        break
      }
      if (next.done === true || next.value.length === 0) {
        await sleep(2)
        continue
      }
      const message = { sequence: ++lastSequence, events: next.value, attempts: [] }
      window.push(message)
      await send(message)
      await sleep(options.pauseMs ?? 0)
    }
    if (finished) produce.call.end()
    else await sleep(30)
    client.close()
  }
}
