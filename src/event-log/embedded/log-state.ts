// The main thread's state of the log: topics with their partitions and streams, groups with their ledgers and cursors.
// It is built from the rows of the books when the log is opened, and extended when something is declared.

import { type Lane, lanes } from '../../event/event.ts'
import type { StreamName } from '../event-log.ts'
import { DueCursor, UnreadCursor } from './cursor.ts'
import { cursorKey, groupByCursor } from './cursor-rows.ts'
import { forEachLane, type GroupPartition, GroupState, Ledger } from './group-state.ts'
import type { CursorRow, GroupRow, LedgerRow, LogRow, StreamRow, TopicRow } from './log-rows.ts'
import { PackBuffer } from './pack-buffer.ts'
import { ProducerWindow } from './producer-window.ts'
import { Producer, Producers } from './producers.ts'
import { RecentEntries } from './recent-entries.ts'
import type { OffsetRange } from './settled-ranges.ts'
import { StreamState } from './stream-state.ts'
import type { LogSnapshot } from './thread-protocol.ts'

export interface PartitionState {
  readonly number: number
  readonly topic: TopicState
  readonly streams: Readonly<Record<Lane, StreamState>>
  /**
   * Events of admitted appends whose outcome is not decided yet. They count as waiting for every group of the topic.
   */
  reservedEvents: number
  reservedBytes: number
}

export interface TopicState {
  readonly number: number
  readonly name: string
  readonly partitions: PartitionState[]
  readonly groups: Map<string, GroupState>
}

/** Rows that create topics, partitions or groups. */
export interface StructureRows {
  readonly topics: readonly TopicRow[]
  readonly groups: readonly GroupRow[]
  readonly streams: readonly StreamRow[]
  readonly cursors: readonly CursorRow[]
  readonly ledgers: readonly LedgerRow[]
}

/** A range of a group's own stream that is missing from the file. */
export interface MissingStretch {
  readonly part: GroupPartition
  readonly cursor: DueCursor
  readonly range: OffsetRange
}

export class LogState {
  readonly epoch: number
  readonly topics = new Map<string, TopicState>()
  readonly groups: GroupState[] = []
  readonly producers = new Producers()
  readonly recent: RecentEntries
  readonly packBuffer = new PackBuffer()
  /** Ranges to be counted as lost with the next commit. */
  missing: MissingStretch[] = []
  lastAppendNumber: number
  lastTopicNumber = 0
  lastGroupNumber = 0
  lastStreamNumber = 0

  constructor(snapshot: LogSnapshot, maxRecentBytes: number) {
    this.epoch = snapshot.log.epoch
    this.lastAppendNumber = snapshot.log.lastAppendNumber
    this.recent = new RecentEntries(maxRecentBytes)
    const streams = this.add(snapshot)
    this.#restoreCursors(snapshot)
    for (const { groupNumber, reason } of snapshot.pauses) {
      const group = this.groups.find(({ number }) => number === groupNumber)
      if (group !== undefined) group.paused = reason
    }
    for (const row of snapshot.producers) {
      const stream = streams.get(row.stream)
      if (stream === undefined) continue
      const window = new ProducerWindow(row.lastSequence, row.stored)
      this.producers.restore(stream, new Producer(row.producerNumber, row.name, row.epoch, window, true))
    }
  }

  stream({ topic, partition, lane }: StreamName): StreamState | undefined {
    return this.topics.get(topic)?.partitions[partition]?.streams[lane]
  }

  /** The offset below which every group has settled a stream of its topic; 0 when the topic has no group. */
  settledByAllBelow({ topic, partition, lane }: StreamName): number {
    let below: number | undefined
    for (const group of this.topics.get(topic)!.groups.values()) {
      const { settledBelow } = group.partitions[partition]!.unread[lane]
      if (below === undefined || settledBelow < below) below = settledBelow
    }
    return below ?? 0
  }

  /** The row about the log as a whole, with this last append number and number of producers. */
  row(lastAppendNumber: number, producers: number): LogRow {
    const { epoch, topics, groups } = this
    return { epoch, lastAppendNumber, topics: topics.size, groups: groups.length, producers }
  }

  /** Adds what the rows describe, and returns the added streams by their number. */
  add({ topics, groups, streams, cursors, ledgers }: StructureRows): Map<number, StreamState> {
    for (const row of topics) this.#addTopic(row)
    const byNumber = new Map([...this.topics.values()].map((topic) => [topic.number, topic]))
    const added = new Map<number, StreamState>()
    const byPlace = new Map<string, StreamState>()
    for (const row of streams) {
      const stream = new StreamState(byNumber.get(row.topicNumber)!.name, row)
      added.set(row.stream, stream)
      byPlace.set(place(row.topicNumber, row.partition, row.lane, row.groupNumber), stream)
      this.lastStreamNumber = Math.max(this.lastStreamNumber, row.stream)
    }
    for (const row of streams) {
      const topic = byNumber.get(row.topicNumber)!
      if (row.groupNumber !== 0 || topic.partitions[row.partition] !== undefined) continue
      const streamsOf = forEachLane((lane) => byPlace.get(place(topic.number, row.partition, lane, 0))!)
      topic.partitions[row.partition] = {
        number: row.partition,
        topic,
        streams: streamsOf,
        reservedEvents: 0,
        reservedBytes: 0,
      }
    }
    for (const row of groups) this.#addGroup(row, byNumber)
    const rowOf = new Map(cursors.map((row) => [cursorKey(row), row]))
    for (const row of ledgers) {
      const group = this.groups.find((candidate) => candidate.number === row.groupNumber)!
      const partition = byNumber.get(group.topicNumber)!.partitions[row.partition]!
      const cursorRow = (stream: StreamState) =>
        rowOf.get(cursorKey({ groupNumber: group.number, stream: stream.number }))!
      group.partitions[row.partition] = {
        group,
        partition: row.partition,
        ledger: new Ledger(row),
        unread: forEachLane((lane) => new UnreadCursor(partition.streams[lane], cursorRow(partition.streams[lane]))),
        own: forEachLane((lane) => {
          const stream = byPlace.get(place(group.topicNumber, row.partition, lane, group.number))!
          return new DueCursor(stream, cursorRow(stream))
        }),
      }
    }
    return added
  }

  /** Removes a group, and the ranges missing from its own streams. */
  remove(group: GroupState): void {
    group.isDropped = true
    this.groups.splice(this.groups.indexOf(group), 1)
    this.topics.get(group.topic)!.groups.delete(group.name)
    this.missing = this.missing.filter(({ part }) => part.group !== group)
  }

  #addTopic({ topicNumber, name }: TopicRow): void {
    this.lastTopicNumber = Math.max(this.lastTopicNumber, topicNumber)
    if (this.topics.has(name)) return
    this.topics.set(name, { number: topicNumber, name, partitions: [], groups: new Map() })
  }

  #addGroup(row: GroupRow, topics: ReadonlyMap<number, TopicState>): void {
    const topic = topics.get(row.topicNumber)!
    const group = new GroupState(topic.name, row)
    this.lastGroupNumber = Math.max(this.lastGroupNumber, row.groupNumber)
    this.groups.push(group)
    topic.groups.set(row.name, group)
  }

  #restoreCursors({ settledRanges, attempts, ownEntries, missing }: LogSnapshot): void {
    const rangesOf = groupByCursor(settledRanges)
    const attemptsOf = groupByCursor(attempts)
    const owners = new Map<number, { readonly part: GroupPartition; readonly cursor: DueCursor }>()
    for (const part of this.groups.flatMap(({ partitions }) => partitions)) {
      for (const lane of lanes) {
        for (const cursor of [part.unread[lane], part.own[lane]]) {
          const key = cursorKey({ groupNumber: part.group.number, stream: cursor.stream.number })
          const ranges = (rangesOf.get(key) ?? []).map((row) => ({ start: row.firstOffset, end: row.endOffset }))
          cursor.restore(ranges, attemptsOf.get(key) ?? [])
        }
        owners.set(part.own[lane].stream.number, { part, cursor: part.own[lane] })
      }
    }
    for (const { stream, firstOffset, count, dueAtMs } of ownEntries) {
      owners.get(stream)?.cursor.due.push({ dueAtMs, offset: firstOffset, count })
    }
    for (const { stream, from, to } of missing) {
      const owner = owners.get(stream)
      if (owner !== undefined) this.missing.push({ ...owner, range: { start: from, end: to } })
    }
  }
}

function place(topicNumber: number, partition: number, lane: Lane, groupNumber: number): string {
  return `${topicNumber}/${partition}/${lane}/${groupNumber}`
}
