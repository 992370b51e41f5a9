// Selects the entries for a waiting consumer: in each lane first due redeliveries and entries that were given back,
// then entries not handed out yet, oldest first.
//
// Not its job: making the hand-out durable (commit-plan.ts), reading bytes from the file (page-reader.ts).

import { type Lane, lanes } from '../../event/event.ts'
import type { CommitPlan } from './commit-plan.ts'
import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupPartition, GroupState } from './group-state.ts'
import { HeldEntry } from './held-entry.ts'
import type { PageReader } from './page-reader.ts'
import type { StoredEntry } from './stored-entry.ts'

/** Max bytes that one call of `next` hands out; only its first entry may be larger. */
const maxHandOutBytes = 8 * 1024 * 1024

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
  #roomBytes = maxHandOutBytes

  /** Whether the entry still fits, in a lane with room for `roomEvents` events of which `taken` are selected. */
  fits(entry: StoredEntry, roomEvents: number, taken: number): boolean {
    if (taken > 0 && taken + entry.count > roomEvents) return false
    return this.held.length === 0 || entry.byteLength <= this.#roomBytes
  }

  put(held: HeldEntry): void {
    this.held.push(held)
    this.#roomBytes -= held.entry.byteLength
  }
}

/**
 * Selects up to `maxEvents` per lane. Empty when there is nothing, or when the bytes must be read from the file first.
 */
export function handOut(
  group: GroupState,
  maxEvents: Readonly<Record<Lane, number>>,
  context: HandOutContext,
): HeldEntry[] {
  if (group.paused !== null) return []
  const selection = new Selection()
  const { partitions } = group
  for (const lane of lanes) {
    let taken = 0
    for (let step = 0; step < partitions.length && taken < maxEvents[lane]; step++) {
      const part = partitions[(group.firstPartition + step) % partitions.length]!
      taken = takeDue(part, lane, maxEvents[lane], taken, selection, context)
      taken = takeUnread(part, lane, maxEvents[lane], taken, selection, context)
    }
  }
  if (selection.held.length > 0) group.firstPartition = (group.firstPartition + 1) % partitions.length
  return selection.held
}

/** Whether there is a durable entry for such a call, even when its bytes must still be read from the file. */
export function hasWork(group: GroupState, maxEvents: Readonly<Record<Lane, number>>, nowMs: number): boolean {
  if (group.paused !== null) return false
  return group.partitions.some((part) =>
    lanes.some((lane) => maxEvents[lane] > 0 && (part.unread[lane].hasUnread || isDue(part.own[lane], nowMs))),
  )
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

function takeDue(
  part: GroupPartition,
  lane: Lane,
  roomEvents: number,
  taken: number,
  selection: Selection,
  { reader, nowMs }: HandOutContext,
): number {
  const cursor = part.own[lane]
  for (let entry = cursor.ready[0]; entry !== undefined; entry = cursor.ready[0]) {
    if (!selection.fits(entry, roomEvents, taken)) return roomEvents
    selection.put(new HeldEntry(part, cursor, entry, cursor.take(entry)))
    taken += entry.count
  }
  reader.fetchDue(part, cursor, nowMs)
  return taken
}

function takeUnread(
  part: GroupPartition,
  lane: Lane,
  roomEvents: number,
  taken: number,
  selection: Selection,
  { plan, reader }: HandOutContext,
): number {
  const cursor = part.unread[lane]
  while (taken < roomEvents) {
    const next = cursor.peek()
    if (next.kind === 'hole') {
      plan.lose(part, cursor, next.range)
      continue
    }
    if (next.kind !== 'entry') break
    if (!selection.fits(next.entry, roomEvents, taken)) {
      taken = roomEvents
      break
    }
    selection.put(new HeldEntry(part, cursor, next.entry, cursor.take(next.entry)))
    taken += next.entry.count
  }
  // Also when the last page in memory is being handed out: the next one is read meanwhile.
  if (hasFileToRead(cursor)) reader.readOn(cursor)
  return taken
}

function hasFileToRead(cursor: UnreadCursor): boolean {
  return cursor.nextUnread < cursor.stream.nextOffset
}
