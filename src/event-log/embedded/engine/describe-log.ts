// Describes the log: the durable facts, an audit of them, and what is leased to consumers.
//
// The audit walks the unsettled entries in steps, so that commits can run in between. Entries settled meanwhile stay in
// the file until the walk is over, because trimming waits for it. So the audit counts the same state as the facts.

import { lanes } from '../../event/event.ts'
import type { GroupDescription, LogDescription, StreamEnd, TopicDescription } from '../event-log.ts'
import type { GroupState } from './group-state.ts'
import type { LogState, TopicState } from './log-state.ts'
import type { StreamState } from './stream-state.ts'
import type { DurableFacts, LogThread } from './thread-protocol.ts'

/** How many entries one step of the audit examines. A step blocks the committing thread for a few milliseconds. */
const entriesPerStep = 20_000

/** @param usedBytes returns the size of the files, in bytes. */
export async function describeLog(
  thread: LogThread,
  state: LogState,
  usedBytes: () => number | null,
): Promise<LogDescription> {
  const facts = await thread.call('describe', null)
  const paused = new Map(state.groups.map((group) => [group.number, group.paused]))
  const inFlight = new Map(state.groups.map((group) => [group.number, group.inFlightEvents]))
  const nextOffsetOf = new Map(facts.streams.map(({ stream, nextOffset }) => [stream, nextOffset]))
  const endOf = ({ number, name: { partition, lane } }: StreamState): StreamEnd => ({
    ...{ partition, lane },
    nextOffset: nextOffsetOf.get(number) ?? 0,
  })
  const audited = await audit(thread, facts)
  const describeGroup = (group: GroupState): GroupDescription => ({
    name: group.name,
    ...countTerms(facts, group.number),
    inFlight: inFlight.get(group.number) ?? 0,
    oldestWaitingMicros: facts.oldestWaitingMicros.get(group.number) ?? null,
    paused: paused.get(group.number) ?? null,
    auditedWaiting: audited.get(group.number) ?? 0,
  })
  const describeTopic = (topic: TopicState): TopicDescription => ({
    name: topic.name,
    partitions: topic.partitions.length,
    groups: Array.from(topic.groups.values(), describeGroup),
    streams:
      topic.groups.size === 0
        ? []
        : topic.partitions.flatMap(({ streams }) => lanes.map((lane) => endOf(streams[lane]))),
  })
  return {
    driver: 'embedded',
    epoch: facts.log.epoch,
    durability: 'disk',
    usedBytes: usedBytes(),
    // The limit would be the free disk space less the reserve, but other programs use the same disk.
    limitBytes: null,
    topics: Array.from(state.topics.values(), describeTopic),
  }
}

/** Group number → unsettled events found. */
async function audit(thread: LogThread, facts: DurableFacts): Promise<ReadonlyMap<number, number>> {
  const events = new Map(facts.auditedOwnEvents)
  for (let stretches = facts.toAudit; stretches.length > 0; ) {
    const reply = await thread.call('audit', { stretches, maxEntries: entriesPerStep })
    for (const [group, found] of reply.events) events.set(group, (events.get(group) ?? 0) + found)
    stretches = reply.rest
  }
  return events
}

type Terms = Pick<GroupDescription, 'accepted' | 'reopened' | 'waiting' | 'landed' | 'dead' | 'lost' | 'skipped'>

function countTerms({ streams, cursors, ledgers }: DurableFacts, groupNumber: number): Terms {
  const nextOffsetOf = new Map(
    streams.filter((row) => row.groupNumber === 0).map((row) => [row.stream, row.nextOffset]),
  )
  let accepted = 0
  for (const cursor of cursors) {
    // Entries of a group's own stream are not counted: they were accepted in the topic's stream.
    if (cursor.groupNumber === groupNumber) {
      accepted += (nextOffsetOf.get(cursor.stream) ?? cursor.startOffset) - cursor.startOffset
    }
  }
  const terms = { accepted, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, skipped: 0 }
  for (const row of ledgers) {
    if (row.groupNumber !== groupNumber) continue
    terms.reopened += row.reopened
    terms.waiting += row.waitingEvents
    terms.landed += row.landed
    terms.dead += row.dead
    terms.lost += row.lost
    terms.skipped += row.skipped
  }
  return terms
}
