// Pauses, limits, drops and joins groups.
//
// A drop removes at once what the opening checks (cursors, ledgers, own streams) and marks the group as dropped. What
// grows with its backlog is removed afterwards, a bounded part in each transaction, also after a restart.

import { lanes } from '../../../event/event.ts'
import type { Flow } from '../../event-log.ts'
import type { GroupRow } from '../file/books.ts'
import { streamNumber, streamsPerOwner } from '../file/stream-number.ts'
import type { GroupName } from '../protocol.ts'
import { findGroup, findTopic } from './find.ts'
import { Operation } from './operation.ts'
import { GroupSession, type Session } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** Max rows of each table, and max entries, that one transaction removes for a dropped group. */
const maxRowsPerStep = 500
const maxEntriesPerStep = 250

export class FlowOperation extends Operation<null> {
  readonly #session: Session
  readonly #name: GroupName
  readonly #next: Pick<GroupRow, 'state' | 'reason'>
  #changed: GroupRow | null = null

  constructor(session: Session, name: GroupName, flow: Flow | null) {
    super()
    this.#session = session
    this.#name = name
    if (flow === null) this.#next = { state: 'running', reason: '' }
    else if ('paused' in flow) this.#next = { state: 'paused', reason: flow.paused }
    else this.#next = { state: 'limited', reason: String(flow.ratePerSecond) }
  }

  run(work: UnitOfWork): void {
    const group = findGroup(work, this.#name.topic, this.#name.group)
    const { state, reason } = this.#next
    this.#changed = group.state === state && group.reason === reason ? null : work.groups.change(group)
    if (this.#changed === null) return
    Object.assign(this.#changed, this.#next)
    // What was handed out at another rate does not count in this one. Not at the commit: this transaction may hand out too.
    const known = this.#session.groups.get(group.groupNumber)
    if (known !== undefined) known.limitedUntil = 0
  }

  committed(): void {
    this.#session.mustLookAgain ||= this.#changed !== null
    this.resolve(null)
  }
}

/** Answers the number of the group's waiting events. */
export class DropOperation extends Operation<number> {
  readonly #session: Session
  readonly #name: GroupName
  readonly #onDropped: (groupNumber: number) => void
  #groupNumber = 0
  #waitingEvents = 0

  constructor(session: Session, name: GroupName, onDropped: (groupNumber: number) => void) {
    super()
    this.#session = session
    this.#name = name
    this.#onDropped = onDropped
  }

  run(work: UnitOfWork): void {
    const group = findGroup(work, this.#name.topic, this.#name.group)
    const { groupNumber, topicNumber } = group
    this.#groupNumber = groupNumber
    this.#waitingEvents = 0
    const { partitions } = work.topics.get(topicNumber)!
    for (let partition = 0; partition < partitions; partition++) {
      this.#waitingEvents += work.ledgers.get(groupNumber, partition)!.waitingEvents
      work.ledgers.remove(groupNumber, partition)
      for (const lane of lanes) {
        work.cursors.remove(groupNumber, streamNumber(topicNumber, partition, lane))
        work.streams.remove(streamNumber(groupNumber, partition, lane))
      }
    }
    work.dropGroup(group)
  }

  committed(): void {
    this.#session.drop(this.#groupNumber)
    this.#onDropped(this.#groupNumber)
    this.resolve(this.#waitingEvents)
  }
}

/** Removes a part of what is left of a dropped group. Answers whether there is more. */
export class RemoveDroppedOperation extends Operation<boolean> {
  readonly #groupNumber: number
  #hasMore = false

  constructor(groupNumber: number) {
    super()
    this.#groupNumber = groupNumber
  }

  run(work: UnitOfWork): void {
    const { books, entries } = work
    const group = this.#groupNumber
    const [from, to] = [group * streamsPerOwner, (group + 1) * streamsPerOwner]
    const rows = [
      books.settledRanges.removeSome('group_number = ?', maxRowsPerStep, group),
      books.attempts.removeSome('group_number = ?', maxRowsPerStep, group),
      books.due.removeSome('stream >= ? AND stream < ?', maxRowsPerStep, from, to),
    ]
    const removed = entries.removeOfStreams(from, to, maxEntriesPerStep)
    this.#hasMore = removed === maxEntriesPerStep || rows.includes(maxRowsPerStep)
    work.written()
    if (this.#hasMore) return
    work.groups.remove(group)
    work.changeLog().groups--
  }

  committed(): void {
    this.resolve(this.#hasMore)
  }
}

/** Answers the number of the new consumer. */
export class JoinOperation extends Operation<number> {
  readonly #session: Session
  readonly #name: GroupName
  #group: GroupSession | null = null

  constructor(session: Session, name: GroupName) {
    super()
    this.#session = session
    this.#name = name
  }

  run(work: UnitOfWork): void {
    const { topic, group } = this.#name
    const row = findGroup(work, topic, group)
    const known = this.#session.groups.get(row.groupNumber)
    this.#group = known ?? new GroupSession(row, topic, findTopic(work, topic).partitions)
  }

  committed(): void {
    const group = this.#group!
    // Another call of the same transaction may have been first.
    const first = this.#session.groups.get(group.groupNumber) ?? group
    this.#session.groups.set(first.groupNumber, first)
    this.resolve(this.#session.join(first))
  }
}
