// Publishing with a narrower key: only to its topics, only events of its types, and not faster than its rate.

import { MillraceError } from '../errors.ts'
import { sleep } from '../lib/abort.ts'
import type { Grant } from '../pipeline/keys.ts'
import type { Pipeline, PublishMessage, PublishOptions, PublishVerdict, Rejection } from '../pipeline/pipeline.ts'
import { atIndexes } from '../pipeline/rejections.ts'
import type { EventRate } from './event-rate.ts'
import { countEvents, readEvents } from './message-events.ts'
import { missingTopic, orMissing, refuseType } from './outside.ts'

type Publish = Pipeline['publish']

const noEvents = new Uint8Array(0)

/** A topic outside is answered as one that is not declared. */
export function withinTopics(publish: Publish, grant: Grant): Publish {
  return async (message, options) => {
    const missing = missingTopic(message.topic)
    if (!grant.allowsTopic(message.topic)) throw missing
    return await orMissing(missing, publish(message, options))
  }
}

/** Events of other types are rejected, each for itself. Those without a type are left to the next check. */
export function withinTypes(publish: Publish, grant: Grant): Publish {
  return async (message, options) => {
    const events = readEvents(message.message) ?? []
    const refused: Rejection[] = []
    const indexes: number[] = []
    for (const [index, { id, type }] of events.entries()) {
      if (type === '' || grant.allowsType(type)) indexes.push(index)
      else refused.push(rejectionOf(index, id, refuseType(type)))
    }
    if (refused.length === 0) return await publish(message, options)
    const kept = indexes.map((index) => message.message.subarray(events[index]!.start, events[index]!.end))
    const verdict = await publish({ ...message, message: Buffer.concat(kept) }, options)
    const others = verdict.rejections.flatMap((each) => [...atIndexes(each, indexes)])
    return { ...verdict, rejections: [...refused, ...others].sort((a, b) => a.index - b.index) }
  }
}

/** How long a message with overflow `wait` may wait for its turn. */
const maxTurnMs = 3_600_000

/** A message that comes too soon is rejected, dropped, or waits, as it says. */
export function withinRate(publish: Publish, grant: Grant, rate: EventRate): Publish {
  /** Ends after the waits of all messages, which keep their order. */
  let turns: Promise<unknown> = Promise.resolve()
  let waiting = 0
  const wait = async (waitMs: number, signal: AbortSignal | undefined) => {
    const before = turns
    const turn = (async () => {
      await sleep(waitMs, signal)
      await before
    })()
    turns = turn
    waiting++
    await turn
    waiting--
    signal?.throwIfAborted()
  }
  return async (message: PublishMessage, options: PublishOptions = {}): Promise<PublishVerdict> => {
    const count = countEvents(message.message) ?? 0
    const maxWaitMs = message.overflow === 'wait' ? Math.min(options.maxWaitMs ?? maxTurnMs, maxTurnMs) : 0
    const waitMs = rate.take(count, maxWaitMs)
    if (waitMs > maxWaitMs) return await refuse(publish, message, grant, waitMs)
    if (waitMs > 0) options.onWait?.()
    if (waitMs > 0 || waiting > 0) await wait(waitMs, options.signal)
    const left = options.maxWaitMs === undefined ? {} : { maxWaitMs: Math.max(0, options.maxWaitMs - waitMs) }
    return await publish(message, { ...options, ...left })
  }
}

export function tooFast({ name, ratePerSecond }: Grant, retryAfterMs: number): MillraceError {
  const text = `the key "${name}" may publish ${ratePerSecond} events per second, and has just published as many`
  return new MillraceError('backlogged', text, { retryAfterMs: Math.ceil(retryAfterMs) })
}

async function refuse(
  publish: Publish,
  message: PublishMessage,
  grant: Grant,
  waitMs: number,
): Promise<PublishVerdict> {
  // Whether it is published at all, the pipeline says.
  const verdict = await publish({ ...message, message: noEvents })
  const events = readEvents(message.message) ?? []
  if (message.overflow === 'drop') return { ...verdict, dropped: events.length }
  const [first] = events
  if (first === undefined) return verdict
  const count = events.length
  const rejection = rejectionOf(0, count === 1 ? first.id : '', tooFast(grant, waitMs))
  return { ...verdict, rejections: [{ ...rejection, ...(count > 1 && { count }) }] }
}

function rejectionOf(index: number, id: string, { code, message, retryAfterMs }: MillraceError): Rejection {
  return { index, id, code, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}
