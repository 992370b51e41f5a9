// Plans what a declaration adds to the log: a topic, partitions, groups, and their streams, cursors and ledgers. A
// declaration is a transaction of its own.

import { MillraceError } from '../../errors.ts'
import { lanes } from '../../event/event.ts'
import type { TopicDeclaration } from '../event-log.ts'
import { forEachLane } from './group-state.ts'
import type { CursorRow, GroupRow, LedgerRow, StreamRow, TopicRow } from './log-rows.ts'
import type { LogState, StructureRows, TopicState } from './log-state.ts'
import { type CommitRequest, emptyRequest } from './thread-protocol.ts'

/** More streams than this are a mistake: each takes memory and is checked whenever a consumer waits. */
export const maxStreams = 100_000

const maxPartitions = 1024

const maxNameLength = 255

/** Throws `failed_precondition` when the number of partitions or a name is outside the limits. */
export function checkDeclaration(topic: string, { partitions, groups }: TopicDeclaration): void {
  const refuse = (field: string, message: string): never => {
    throw new MillraceError('failed_precondition', message, { field })
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > maxPartitions) {
    refuse('partitions', `topic "${topic}" was declared with ${partitions} partitions; declare 1 to ${maxPartitions}`)
  }
  for (const name of [topic, ...groups.map((group) => group.name)]) {
    if (name === '' || name.length > maxNameLength || name.includes('\0')) {
      refuse('name', `"${name}" is not a valid name: use 1 to ${maxNameLength} characters, none of them NUL`)
    }
  }
}

export interface DeclareRequest {
  readonly topic: string
  readonly declaration: TopicDeclaration
  resolve(): void
  reject(reason: unknown): void
}

export class DeclarePlan {
  readonly #state: LogState
  readonly #request: DeclareRequest
  readonly #known: TopicState | undefined
  readonly #topics: TopicRow[] = []
  readonly #groups: GroupRow[] = []
  readonly #streams: StreamRow[] = []
  readonly #cursors: CursorRow[] = []
  readonly #ledgers: LedgerRow[] = []
  #topicNumber: number
  #lastGroupNumber: number
  #lastStreamNumber: number

  /** Throws `failed_precondition` when the declaration would remove partitions or exceed `maxStreams`. */
  constructor(state: LogState, request: DeclareRequest) {
    this.#state = state
    this.#request = request
    this.#known = state.topics.get(request.topic)
    this.#topicNumber = this.#known?.number ?? state.lastTopicNumber + 1
    this.#lastGroupNumber = state.lastGroupNumber
    this.#lastStreamNumber = state.lastStreamNumber
    this.#plan()
  }

  /** Whether everything exists already. */
  get isEmpty(): boolean {
    return this.#topics.length + this.#groups.length === 0
  }

  readonly appends = { appends: 0, entries: 0, events: 0, bytes: 0 }

  encode(): CommitRequest {
    const { topics, groups, lastAppendNumber, producers } = this.#state
    const log = {
      ...this.#state.row(lastAppendNumber, producers.stored),
      topics: topics.size + (this.#known === undefined ? 1 : 0),
      groups: groups.length + this.#groups.length,
    }
    return { ...emptyRequest(), ...this.#rows(), log }
  }

  /** A declaration has nothing that a full disk refuses. */
  refuse(): void {}

  committed(): void {
    this.#state.add(this.#rows())
    this.#request.resolve()
  }

  failed(reason: unknown): void {
    this.#request.reject(reason)
  }

  #rows(): StructureRows {
    return {
      topics: this.#topics,
      groups: this.#groups,
      streams: this.#streams,
      cursors: this.#cursors,
      ledgers: this.#ledgers,
    }
  }

  #plan(): void {
    const { topic, declaration } = this.#request
    const before = this.#known?.partitions.length ?? 0
    const { partitions } = declaration
    if (partitions < before) {
      throw new MillraceError(
        'failed_precondition',
        `topic "${topic}" has ${before} partitions and was declared with ${partitions}; partitions cannot be removed, ` +
          `declare at least ${before}`,
        { field: 'partitions' },
      )
    }
    if (partitions > before) this.#topics.push({ topicNumber: this.#topicNumber, name: topic, partitions })
    for (let partition = before; partition < partitions; partition++) this.#addPartition(partition)
    for (const { name } of declaration.groups) {
      const isKnown = this.#known?.groups.has(name) === true || this.#groups.some((group) => group.name === name)
      if (!isKnown) this.#addGroup(name, partitions)
    }
    if (this.#lastStreamNumber > maxStreams) {
      throw new MillraceError(
        'failed_precondition',
        `topic "${topic}" with ${partitions} partitions would need ${this.#lastStreamNumber} streams; ` +
          `the limit is ${maxStreams}, declare fewer partitions or groups`,
        { field: 'partitions' },
      )
    }
  }

  /** Adds a partition, with a part for each of the topic's existing groups. */
  #addPartition(partition: number): void {
    const streams = forEachLane((lane) => this.#addStream(partition, lane, 0))
    for (const { number } of this.#known?.groups.values() ?? []) this.#addPart(number, partition, streams)
  }

  /** Adds a group, with a part in each partition that the topic will have. */
  #addGroup(name: string, partitions: number): void {
    const groupNumber = ++this.#lastGroupNumber
    this.#groups.push({ groupNumber, topicNumber: this.#topicNumber, name })
    for (let partition = 0; partition < partitions; partition++) {
      const known = this.#known?.partitions[partition]
      const streams = forEachLane(
        (lane) =>
          known?.streams[lane].row() ??
          this.#streams.find((row) => row.partition === partition && row.lane === lane && row.groupNumber === 0)!,
      )
      this.#addPart(groupNumber, partition, streams)
    }
  }

  /** Adds a group's ledger and cursors in a partition. It starts at the oldest kept entry of each stream. */
  #addPart(groupNumber: number, partition: number, streams: Readonly<Record<(typeof lanes)[number], StreamRow>>): void {
    let waitingEvents = 0
    let waitingBytes = 0
    for (const lane of lanes) {
      const { stream, trimmedBelow, trimmedByte, nextOffset, nextByte } = streams[lane]
      waitingEvents += nextOffset - trimmedBelow
      waitingBytes += nextByte - trimmedByte
      this.#addCursor(groupNumber, stream, trimmedBelow)
      this.#addCursor(groupNumber, this.#addStream(partition, lane, groupNumber).stream, 0)
    }
    const none = { reopened: 0, landed: 0, dead: 0, lost: 0, skipped: 0 }
    this.#ledgers.push({ groupNumber, partition, ...none, waitingEvents, waitingBytes })
  }

  #addStream(partition: number, lane: (typeof lanes)[number], groupNumber: number): StreamRow {
    const empty = { nextOffset: 0, nextByte: 0, trimmedBelow: 0, trimmedByte: 0 }
    const stream = ++this.#lastStreamNumber
    const row = { stream, topicNumber: this.#topicNumber, partition, lane, groupNumber, ...empty }
    this.#streams.push(row)
    return row
  }

  #addCursor(groupNumber: number, stream: number, start: number): void {
    const offsets = { startOffset: start, settledBelow: start, handedOutBelow: start }
    this.#cursors.push({ groupNumber, stream, ...offsets, rangesAhead: 0, attemptsKept: 0 })
  }
}
