// Creates what a declaration adds to the log: a topic, partitions, groups, with their streams, cursors and ledgers.

import { MillraceError } from '../../../errors.ts'
import { type Lane, lanes } from '../../../event/event.ts'
import { refuseFewerPartitions, refuseOtherOrder } from '../../check-declaration.ts'
import type { GroupDeclaration, TopicDeclaration } from '../../event-log.ts'
import type { TopicRow } from '../file/books.ts'
import { streamNumber } from '../file/stream-number.ts'
import { Operation } from './operation.ts'
import type { Session } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** More streams than this are a mistake: each is checked when the log is opened. */
const maxStreams = 100_000

export class DeclareOperation extends Operation<null> {
  readonly #session: Session
  readonly #topic: string
  readonly #declaration: TopicDeclaration

  constructor(session: Session, topic: string, declaration: TopicDeclaration) {
    super()
    this.#session = session
    this.#topic = topic
    this.#declaration = declaration
  }

  run(work: UnitOfWork): void {
    const { partitions } = this.#declaration
    const known = work.topic(this.#topic)
    const before = known?.partitions ?? 0
    const groups = known === undefined ? [] : work.groupsOf(known.topicNumber)
    const added = new Map<string, GroupDeclaration>()
    for (const group of this.#declaration.groups) {
      const same = groups.find(({ name }) => name === group.name)
      if (same !== undefined) refuseOtherOrder(this.#topic, group, same.ordered === 1)
      else added.set(group.name, group)
    }
    refuseFewerPartitions(this.#topic, this.#declaration, before)
    this.#checkStreams(work, (partitions - before) * (1 + groups.length) + partitions * added.size)
    const topic = known ?? this.#addTopic(work)
    if (partitions > before) work.topics.change(topic).partitions = partitions
    for (let partition = before; partition < partitions; partition++) {
      for (const lane of lanes) addStream(work, topic, partition, lane, 0)
      for (const { groupNumber } of groups) this.#addPart(work, topic, groupNumber, partition)
    }
    for (const group of added.values()) this.#addGroup(work, topic, group)
  }

  committed(): void {
    this.resolve(null)
  }

  #checkStreams(work: UnitOfWork, addedParts: number): void {
    if (addedParts === 0) return
    const streams = work.books.streams.count('true') + addedParts * lanes.length
    if (streams <= maxStreams) return
    throw new MillraceError(
      'failed_precondition',
      `topic "${this.#topic}" with ${this.#declaration.partitions} partitions would need ${streams} streams; ` +
        `the limit is ${maxStreams}, declare fewer partitions or groups`,
      { field: 'partitions' },
    )
  }

  #addTopic(work: UnitOfWork): TopicRow {
    const log = work.changeLog()
    log.topics++
    return work.addTopic({ topicNumber: ++log.lastNumber, name: this.#topic, partitions: 0 })
  }

  #addGroup(work: UnitOfWork, topic: TopicRow, { name, ordered = false }: GroupDeclaration): void {
    const log = work.changeLog()
    log.groups++
    const groupNumber = ++log.lastNumber
    const { topicNumber } = topic
    work.addGroup({ groupNumber, topicNumber, name, reason: '', state: 'running', ordered: ordered ? 1 : 0 })
    for (let partition = 0; partition < topic.partitions; partition++) {
      this.#addPart(work, topic, groupNumber, partition)
    }
  }

  /** Adds a group's ledger, cursors and own streams in a partition. It starts at the oldest kept entries. */
  #addPart(work: UnitOfWork, topic: TopicRow, groupNumber: number, partition: number): void {
    let waitingEvents = 0
    let waitingBytes = 0
    for (const lane of lanes) {
      const row = work.streams.get(streamNumber(topic.topicNumber, partition, lane))!
      const { stream, trimmedBelow: start } = row
      waitingEvents += row.nextOffset - start
      waitingBytes += row.nextByte - row.trimmedByte
      const offsets = { startOffset: start, settledBelow: start, handedOutBelow: start }
      const cursor = { groupNumber, stream, ...offsets, rangesAhead: 0, attemptsKept: 0 }
      work.cursors.add(cursor, groupNumber, stream)
      addStream(work, topic, partition, lane, groupNumber)
    }
    const none = { reopened: 0, landed: 0, dead: 0, lost: 0, skipped: 0 }
    work.ledgers.add({ groupNumber, partition, ...none, waitingEvents, waitingBytes }, groupNumber, partition)
    this.#session.groups.get(groupNumber)?.addPartition(partition)
  }
}

function addStream(work: UnitOfWork, topic: TopicRow, partition: number, lane: Lane, groupNumber: number): void {
  const { topicNumber } = topic
  const stream = streamNumber(groupNumber === 0 ? topicNumber : groupNumber, partition, lane)
  const empty = { nextOffset: 0, nextByte: 0, trimmedBelow: 0, trimmedByte: 0, dueKept: 0 }
  work.streams.add({ stream, topicNumber, partition, lane, groupNumber, ...empty }, stream)
}
