// Replays to a group the events it has settled: for a database that was restored to an earlier state, or after a
// handler had a bug.

import { MillraceError } from '../errors.ts'
import { encodedTraceOf, withTrace } from '../event/batch-trace.ts'
import { lanes } from '../event/event.ts'
import { EventReader, textOf } from '../event/record-batch.ts'
import type { EventLog, KeptEntry, Reopened, StreamName } from '../event-log/event-log.ts'
import { parsePosition } from '../event-log/position-text.ts'
import type { ReplayAnswer, ReplayRequest, WorkOptions } from '../pipeline/administration.ts'
import type { AdminParts } from './admin-parts.ts'
import { checkText } from './filter.ts'
import { PacedWork } from './paced-work.ts'

/** Maximum size of one read from the log. */
const maxPageBytes = 1024 * 1024

/** Replay waits while more events than this wait for the group: reopened events bypass admission. */
const maxGroupWaitingEvents = 100_000
const checkEveryMs = 1000
const waitForGroupMs = 250

/** Maximum number of events of one entry that are reopened together. */
const maxRunEvents = 1000

/** How far a replay has come. */
interface Place {
  /** Entries received at this time or later are not replayed: they arrived after the replay began. */
  readonly untilMicros: number
  /** Index into the streams of the topic. */
  readonly stream: number
  readonly offset: number
}

export class Replayer {
  readonly #parts: AdminParts

  constructor(parts: AdminParts) {
    this.#parts = parts
  }

  /** See Administration. */
  async replay(request: ReplayRequest, { signal }: WorkOptions): Promise<ReplayAnswer> {
    const { eventLog, now, monotonicNow } = this.#parts
    const work = new PacedWork({ rate: request.rate, monotonicNow, signal })
    checkText('type', request.type)
    const describe = () => describeGroup(eventLog, request)
    const room = new GroupRoom(describe, monotonicNow)
    const streams = streamsOf(request, await describe())
    let { untilMicros, stream, offset } = placeOf(request, now() * 1000)
    if (stream >= streams.length) throw otherCursor()
    let replayed = 0
    // Every call makes progress, however long it took to start.
    do {
      if (!request.isDryRun && !(await room.has())) {
        await work.pause(waitForGroupMs)
        continue
      }
      const name = streams[stream]!
      const page = await eventLog.readSettled(name, request.group, { fromOffset: offset, maxBytes: maxPageBytes })
      let next = page.nextOffset
      for (const run of runsOf(page.entries, { ...request, untilMicros, fromOffset: offset }, work.maxStep)) {
        if (replayed > 0 && work.isOver) {
          next = run.offset
          break
        }
        replayed += run.batch.count
        if (request.isDryRun) continue
        await eventLog.reopen(name, request.group, [run])
        await work.sent(run.batch.count)
      }
      if (next === null) stream++
      offset = next ?? 0
    } while (stream < streams.length && !work.isOver)
    const nextCursor = stream < streams.length ? `${untilMicros}-${stream}-${offset}` : null
    return { replayed, nextCursor }
  }
}

/** What a replay needs to know about its group. */
interface GroupFacts {
  readonly partitions: number
  /** The log's epoch. */
  readonly epoch: number
  readonly waiting: number
}

/** Throws `not_found` when there is no such topic or group. */
async function describeGroup(eventLog: EventLog, request: ReplayRequest): Promise<GroupFacts> {
  const { topics, epoch } = await eventLog.describe()
  const topic = topics.find(({ name }) => name === request.topic)
  if (topic === undefined) throw notFound('topic', request.topic)
  const group = topic.groups.find(({ name }) => name === request.group)
  if (group === undefined) throw notFound('group', request.group)
  return { partitions: topic.partitions, epoch, waiting: group.waiting }
}

/** Whether the group has room for more events. Checked once per `checkEveryMs`, or on each call while it has none. */
class GroupRoom {
  readonly #describe: () => Promise<GroupFacts>
  readonly #monotonicNow: () => number
  #checkedAtMs = Number.NEGATIVE_INFINITY
  #has = true

  constructor(describe: () => Promise<GroupFacts>, monotonicNow: () => number) {
    this.#describe = describe
    this.#monotonicNow = monotonicNow
  }

  async has(): Promise<boolean> {
    const nowMs = this.#monotonicNow()
    if (nowMs - this.#checkedAtMs < checkEveryMs && this.#has) return true
    this.#checkedAtMs = nowMs
    this.#has = (await this.#describe()).waiting <= maxGroupWaitingEvents
    return this.#has
  }
}

function notFound(field: string, name: string): MillraceError {
  return new MillraceError('not_found', `there is no ${field} "${name}"`, { field })
}

function streamsOf({ topic, from }: ReplayRequest, { partitions, epoch }: GroupFacts): StreamName[] {
  if (from === undefined) {
    return Array.from({ length: partitions }, (_, partition) =>
      lanes.map((lane) => ({ topic, partition, lane })),
    ).flat()
  }
  const position = positionOf(topic, from)
  if (position.epoch !== epoch) {
    const problem = `from is a position of epoch ${position.epoch}, but the log is in epoch ${epoch}, which has other offsets: use since instead`
    throw new MillraceError('failed_precondition', problem, { field: 'from' })
  }
  return [position.stream]
}

function positionOf(topic: string, from: string): NonNullable<ReturnType<typeof parsePosition>> {
  const position = parsePosition(from)
  if (position?.stream.topic === topic) return position
  const problem = `from is ${JSON.stringify(from)}; it must be a position of topic ${topic}, such as "${topic}/0/normal@1:5000"`
  throw new MillraceError('invalid_event', problem, { field: 'from' })
}

function placeOf({ topic, from, cursor }: ReplayRequest, nowMicros: number): Place {
  if (cursor === undefined) {
    return { untilMicros: nowMicros, stream: 0, offset: from === undefined ? 0 : positionOf(topic, from).offset }
  }
  const [, ...parts] = /^(\d{1,16})-(\d{1,9})-(\d{1,16})$/.exec(cursor) ?? []
  const [untilMicros, stream, offset] = parts.map(Number)
  if (untilMicros === undefined || stream === undefined || offset === undefined) {
    throw otherCursor()
  }
  return { untilMicros, stream, offset }
}

function otherCursor(): MillraceError {
  const problem = 'cursor is not valid; pass next_cursor of an earlier answer unchanged, or leave it out'
  return new MillraceError('invalid_event', problem, { field: 'cursor' })
}

interface Wanted {
  readonly sinceMicros?: number | undefined
  readonly untilMicros: number
  readonly type?: string | undefined
  /** Events before this offset were replayed by an earlier call. */
  readonly fromOffset: number
}

/** Yields the wanted events as runs of consecutive events within one entry. */
function* runsOf(entries: readonly KeptEntry[], wanted: Wanted, maxStep: number): Generator<Reopened> {
  const maxEvents = Math.min(maxRunEvents, maxStep)
  for (const { position, batch } of entries) {
    const { receivedAtMicros, bytes } = batch
    // A damaged entry has no events that could be sent.
    if (batch.damaged === true) continue
    if (receivedAtMicros >= wanted.untilMicros || receivedAtMicros < (wanted.sinceMicros ?? 0)) continue
    const reader = new EventReader().reset(bytes)
    const trace = encodedTraceOf(bytes)
    let run: { readonly start: number; end: number; count: number; readonly offset: number } | null = null
    const take = (): Reopened => {
      const { start, end, count, offset } = run!
      run = null
      const own = withTrace(trace, bytes.subarray(start, end))
      return { batch: { bytes: own, count, receivedAtMicros }, attempt: 0, offset }
    }
    for (let offset = position.offset; reader.next(); offset++) {
      const { end, typeStart, typeEnd } = reader.fields
      const isWanted =
        offset >= wanted.fromOffset && (wanted.type === undefined || textOf(bytes, typeStart, typeEnd) === wanted.type)
      if (!isWanted) {
        if (run !== null) yield take()
        continue
      }
      run ??= { start: reader.fieldStart, end, count: 0, offset }
      run.end = end
      if (++run.count === maxEvents) yield take()
    }
    if (run !== null) yield take()
  }
}
