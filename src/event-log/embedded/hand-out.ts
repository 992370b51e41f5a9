// Decides what a waiting consumer gets: what is due in the group's own streams and given back first, then what nobody had
// yet, oldest first in each lane.
//
// Not its job: making it durable (commit-plan.ts), bringing bytes from the file (page-reader.ts).

import { type Lane, lanes } from '../../event/event.ts'
import type { CommitPlan } from './commit-plan.ts'
import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupPartition, GroupState } from './group-state.ts'
import { HeldEntry } from './held-entry.ts'
import type { PageReader } from './page-reader.ts'
import type { StoredEntry } from './stored-entry.ts'

/** One call of `next` hands out no more bytes than this, whatever it asks for, beyond the first entry. */
const maxHandOutBytes = 8 * 1024 * 1024

export interface Desk {
  readonly plan: CommitPlan
  readonly reader: PageReader
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/** What one waiter takes with it. */
class Basket {
  readonly held: HeldEntry[] = []
  #roomBytes = maxHandOutBytes

  /** Whether the entry still fits, when the lane has room for so many events and `taken` of it were taken. */
  fits(entry: StoredEntry, roomEvents: number, taken: number): boolean {
    if (taken > 0 && taken + entry.count > roomEvents) return false
    return this.held.length === 0 || entry.byteLength <= this.#roomBytes
  }

  put(held: HeldEntry): void {
    this.held.push(held)
    this.#roomBytes -= held.entry.byteLength
  }
}

/** Takes as much as the lanes have room for. Empty when there is nothing, or when its bytes must be read first. */
export function handOut(group: GroupState, maxEvents: Readonly<Record<Lane, number>>, desk: Desk): HeldEntry[] {
  if (group.paused !== null) return []
  const basket = new Basket()
  const { partitions } = group
  for (const lane of lanes) {
    let taken = 0
    for (let step = 0; step < partitions.length && taken < maxEvents[lane]; step++) {
      const part = partitions[(group.firstPartition + step) % partitions.length]!
      taken = takeDue(part, lane, maxEvents[lane], taken, basket, desk)
      taken = takeUnread(part, lane, maxEvents[lane], taken, basket, desk)
    }
  }
  if (basket.held.length > 0) group.firstPartition = (group.firstPartition + 1) % partitions.length
  return basket.held
}

/** Whether there is something durable for such a call, even when its bytes are still in the file. */
export function hasWork(group: GroupState, maxEvents: Readonly<Record<Lane, number>>, nowMs: number): boolean {
  if (group.paused !== null) return false
  return group.partitions.some((part) =>
    lanes.some((lane) => maxEvents[lane] > 0 && (part.unread[lane].hasUnread || isDue(part.own[lane], nowMs))),
  )
}

/** When something comes again that is not due yet, at the earliest; undefined when nothing does, or the group is paused. */
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
  basket: Basket,
  { reader, nowMs }: Desk,
): number {
  const cursor = part.own[lane]
  for (let entry = cursor.ready[0]; entry !== undefined; entry = cursor.ready[0]) {
    if (!basket.fits(entry, roomEvents, taken)) return roomEvents
    basket.put(new HeldEntry(part, cursor, entry, cursor.take(entry)))
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
  basket: Basket,
  { plan, reader }: Desk,
): number {
  const cursor = part.unread[lane]
  while (taken < roomEvents) {
    const next = cursor.peek()
    if (next.kind === 'hole') {
      plan.lose(part, cursor, next.range)
      continue
    }
    if (next.kind !== 'entry') break
    if (!basket.fits(next.entry, roomEvents, taken)) {
      taken = roomEvents
      break
    }
    basket.put(new HeldEntry(part, cursor, next.entry, cursor.take(next.entry)))
    taken += next.entry.count
  }
  // Also after the last page was begun: the next one comes while this one is worked on.
  if (hasFileToRead(cursor)) reader.readOn(cursor)
  return taken
}

function hasFileToRead(cursor: UnreadCursor): boolean {
  return cursor.nextUnread < cursor.stream.nextOffset
}
