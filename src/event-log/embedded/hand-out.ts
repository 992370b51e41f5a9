// Selects the entries for a waiting consumer: in each lane first due redeliveries and entries that were given back,
// then entries not handed out yet, oldest first.
//
// Not its job: making the hand-out durable (commit-plan.ts), reading bytes from the file (page-reader.ts).

import { type Lane, lanes } from '../../event/event.ts'
import { maxNextBytes, type NextOptions } from '../event-log.ts'
import type { CommitPlan } from './commit-plan.ts'
import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupPartition, GroupState } from './group-state.ts'
import { HeldEntry } from './held-entry.ts'
import type { PageReader } from './page-reader.ts'
import type { StoredEntry } from './stored-entry.ts'

/** What a hand-out uses. */
export interface HandOutContext {
  readonly plan: CommitPlan
  readonly reader: PageReader
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/** The entries selected for one waiter. */
class Selection {
  readonly held: HeldEntry[] = []
  bytes = 0
  /** Events selected of each lane. */
  readonly events: Record<Lane, number> = { high: 0, normal: 0, low: 0 }

  put(lane: Lane, held: HeldEntry): void {
    this.held.push(held)
    this.bytes += held.entry.byteLength
    this.events[lane] += held.entry.count
  }
}

/** Up to where a selection may grow with entries of one partition and lane. */
interface Room {
  readonly lane: Lane
  readonly events: number
  readonly bytes: number
}

/**
 * Selects up to `maxEvents` per lane and `maxBytes`. Empty when there is nothing, or when the bytes must be read from the
 * file first.
 */
export function handOut(group: GroupState, { maxEvents, maxBytes }: NextOptions, context: HandOutContext): HeldEntry[] {
  if (group.paused !== null) return []
  const selection = new Selection()
  const { partitions } = group
  const most = { events: maxEvents, bytes: Math.min(maxBytes ?? maxNextBytes, maxNextBytes) }
  for (const lane of lanes) {
    const parts = partitions
      .map((_, step) => partitions[(group.firstPartition + step) % partitions.length]!)
      .filter((part) => hasWorkIn(part, lane, context.nowMs))
    // Shares first, then the rest.
    for (const shares of parts.length > 1 ? [parts.length, 1] : [1])
      takeFrom(parts, lane, shares, most, selection, context)
  }
  if (selection.held.length > 0) group.firstPartition = (group.firstPartition + 1) % partitions.length
  return selection.held
}

function takeFrom(
  parts: readonly GroupPartition[],
  lane: Lane,
  shares: number,
  most: { readonly events: Readonly<Record<Lane, number>>; readonly bytes: number },
  selection: Selection,
  context: HandOutContext,
): void {
  const [roomEvents, roomBytes] = [most.events[lane] / shares, most.bytes / shares]
  for (const part of parts) {
    if (selection.events[lane] >= most.events[lane]) return
    const room = {
      lane,
      events: Math.min(most.events[lane], Math.ceil(selection.events[lane] + roomEvents)),
      bytes: Math.min(most.bytes, Math.ceil(selection.bytes + roomBytes)),
    }
    const fitted = takeDue(part, room, selection, context) && takeUnread(part, room, selection, context)
    // What does not fit into the call is not overtaken by what comes later in the lane.
    if (!fitted && shares === 1) return
  }
}

/** Whether the entry fits: the first of a lane has any number of events, the first of all any number of bytes. */
function fits(entry: StoredEntry, { lane, events, bytes }: Room, selection: Selection): boolean {
  const taken = selection.events[lane]
  if (taken > 0 && taken + entry.count > events) return false
  return selection.held.length === 0 || selection.bytes + entry.byteLength <= bytes
}

/** Whether there is a durable entry for such a call, even when its bytes must still be read from the file. */
export function hasWork(group: GroupState, maxEvents: Readonly<Record<Lane, number>>, nowMs: number): boolean {
  if (group.paused !== null) return false
  return group.partitions.some((part) => lanes.some((lane) => maxEvents[lane] > 0 && hasWorkIn(part, lane, nowMs)))
}

function hasWorkIn(part: GroupPartition, lane: Lane, nowMs: number): boolean {
  return part.unread[lane].hasUnread || isDue(part.own[lane], nowMs)
}

/** When the next redelivery is due, in milliseconds since 1970; undefined when there is none or the group is paused. */
export function nextDueAtMs(group: GroupState): number | undefined {
  if (group.paused !== null) return undefined
  let next: number | undefined
  for (const part of group.partitions) {
    for (const lane of lanes) {
      const dueAtMs = part.own[lane].due.nextDueAtMs
      if (dueAtMs !== undefined && (next === undefined || dueAtMs < next)) next = dueAtMs
    }
  }
  return next
}

function isDue(cursor: DueCursor, nowMs: number): boolean {
  return cursor.ready.length > 0 || cursor.isReading || (cursor.due.nextDueAtMs ?? Number.POSITIVE_INFINITY) <= nowMs
}

/** Returns whether every entry that is there now fitted. */
function takeDue(part: GroupPartition, room: Room, selection: Selection, { reader, nowMs }: HandOutContext): boolean {
  const cursor = part.own[room.lane]
  for (let entry = cursor.ready[0]; entry !== undefined; entry = cursor.ready[0]) {
    if (!fits(entry, room, selection)) return false
    selection.put(room.lane, new HeldEntry(part, cursor, entry, cursor.take(entry)))
  }
  reader.fetchDue(part, cursor, nowMs)
  return true
}

/** Returns whether every entry that is there now fitted. */
function takeUnread(part: GroupPartition, room: Room, selection: Selection, { plan, reader }: HandOutContext): boolean {
  const cursor = part.unread[room.lane]
  let fitted = true
  while (selection.events[room.lane] < room.events) {
    const next = cursor.peek()
    if (next.kind === 'hole') {
      plan.lose(part, cursor, next.range)
      continue
    }
    if (next.kind !== 'entry') break
    fitted = fits(next.entry, room, selection)
    if (!fitted) break
    selection.put(room.lane, new HeldEntry(part, cursor, next.entry, cursor.take(next.entry)))
  }
  // Also when the last page in memory is being handed out: the next one is read meanwhile.
  if (hasFileToRead(cursor)) reader.readOn(cursor)
  return fitted
}

function hasFileToRead(cursor: UnreadCursor): boolean {
  return cursor.nextUnread < cursor.stream.nextOffset
}
