// Describes the log: the counters of each group, and an audit that counts the unsettled entries.
//
// One script reads a group in a partition, so its numbers are consistent: the counters, and its count of entries that
// were handed out and not settled, up to a limit. Entries beyond the limit, and unread ones, are counted in pages, so
// that the server can serve other commands in between. A difference that events settled, lost or reopened meanwhile can
// explain is ignored: the audit then returns the counter. A group with too many entries is not audited.

import { lanes } from '../../event/event.ts'
import type { GroupDescription, StreamEnd, TopicDescription } from '../event-log.ts'
import { listOf, numberOf, type RedisNode, textOf } from './connection/redis-connection.ts'
import type { PartitionKeys } from './redis-keys.ts'
import type { RedisSession } from './session/redis-session.ts'
import { countOfMember, placeOf, receivedAtOfMember } from './stored-batch.ts'
import type { KnownTopic } from './topics/registry-content.ts'

/** Max unsettled entries of a group that an audit walks. */
const maxAuditedEntries = 20_000

/** Page size where the server copies entries, which blocks it. */
const entriesPerPage = 100

/** Page size where it counts without copying: entries that were handed out, and members of the own stream. */
const countedPerPage = 1000

export async function describeTopic(session: RedisSession, topic: KnownTopic): Promise<TopicDescription> {
  const { name, groups, partitions } = topic
  const described: GroupDescription[] = []
  let streams: readonly StreamEnd[] = []
  for (const [group, paused] of groups) {
    const parts: GroupPart[] = []
    // One after the other, so that appends are not kept waiting.
    for (const partition of partitions) parts.push(await describePartition(session, partition, group))
    described.push({ name: group, ...(await sumOf(session, group, parts)), skipped: 0, paused })
    streams = parts.flatMap(({ ends }) => ends)
  }
  return { name, partitions: partitions.length, groups: described, streams }
}

/** What is still to be counted in a lane. */
interface LaneRest {
  /** The last entry that was handed out, and the lane's end. */
  readonly read: string
  readonly end: number
  /** The last entry that was counted; '' for all that were handed out. */
  readonly from: string
  /** Consumers whose deliveries were not counted. */
  readonly holders: readonly string[]
}

/** What describe.lua returns of one group in one partition. */
interface GroupPart {
  readonly partition: PartitionKeys
  readonly accepted: number
  readonly waiting: number
  readonly inFlight: number
  /** Events of the unsettled entries that the script has counted. */
  readonly counted: number
  /** Events of all settled deliveries. */
  readonly passed: number
  readonly oldestMicros: number | null
  /** Unsettled entries, at least. */
  readonly entries: number
  readonly isLossUnknown: boolean
  readonly ledger: Record<'reopened' | 'landed' | 'dead' | 'lost', number>
  readonly lanes: readonly LaneRest[]
  readonly isAgainLeft: boolean
  readonly isHeldLeft: boolean
  readonly ends: readonly StreamEnd[]
}

async function describePartition(
  session: RedisSession,
  partition: PartitionKeys,
  group: string,
  most = countedPerPage,
): Promise<GroupPart> {
  const facts = listOf(await session.run('describe', partition, partition.forGroup(group), [group, most]))
  session.memoryOf(partition).noteLedgers([facts[8]!])
  const [accepted, waiting, inFlight, counted, passed] = facts.slice(0, 5).map(numberOf)
  const [, , reopened, landed, dead, lost] = listOf(facts[8])
  const places = listOf(facts[9]).map((place) => {
    const [read, end, from, holders] = listOf(place)
    return { read: textOf(read), end: numberOf(end), from: textOf(from), holders: listOf(holders).map(textOf) }
  })
  const oldest = textOf(facts[5])
  return {
    ...{ partition, accepted: accepted!, waiting: waiting!, inFlight: inFlight!, counted: counted!, passed: passed! },
    oldestMicros: oldest === '' ? null : Number(oldest),
    entries: numberOf(facts[6]),
    isLossUnknown: facts[7] === 1,
    ledger: { reopened: numberOf(reopened), landed: numberOf(landed), dead: numberOf(dead), lost: numberOf(lost) },
    lanes: places,
    isAgainLeft: facts[10] === 1,
    isHeldLeft: facts[11] === 1,
    ends: places.map(({ end }, lane) => ({ partition: partition.number, lane: lanes[lane]!, nextOffset: end })),
  }
}

type Sums = Omit<GroupDescription, 'name' | 'skipped' | 'paused'>

async function sumOf(session: RedisSession, group: string, parts: readonly GroupPart[]): Promise<Sums> {
  const sum = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, inFlight: 0, entries: 0 }
  let oldestWaitingMicros: number | null = null
  for (const { accepted, waiting, inFlight, entries, ledger, oldestMicros } of parts) {
    const terms = { ...ledger, accepted, waiting, inFlight, entries }
    for (const term of Object.keys(sum) as (keyof typeof sum)[]) sum[term] += terms[term]
    if (oldestMicros !== null) oldestWaitingMicros = Math.min(oldestWaitingMicros ?? oldestMicros, oldestMicros)
  }
  const { entries, lost, ...counters } = sum
  const isLossUnknown = parts.some((part) => part.isLossUnknown)
  let auditedWaiting: number | null = 0
  const audit = new Audit(session, group)
  for (const part of entries > maxAuditedEntries ? [] : parts) auditedWaiting += await audit.count(part)
  if (entries > maxAuditedEntries || audit.isTooMuch) auditedWaiting = null
  if (audit.oldestMicros !== null) {
    oldestWaitingMicros = Math.min(oldestWaitingMicros ?? audit.oldestMicros, audit.oldestMicros)
  }
  let { inFlight } = counters
  for (const part of parts) inFlight += await audit.countHeld(part)
  return { ...counters, inFlight, lost: isLossUnknown ? null : lost, oldestWaitingMicros, auditedWaiting }
}

/** Counts the unsettled entries of a group that describe.lua has not counted. */
class Audit {
  readonly #session: RedisSession
  readonly #group: string
  /** Entries counted here. */
  #entries = 0
  oldestMicros: number | null = null

  constructor(session: RedisSession, group: string) {
    this.#session = session
    this.#group = group
  }

  get isTooMuch(): boolean {
    return this.#entries > maxAuditedEntries
  }

  /** All unsettled events of a partition. */
  async count(part: GroupPart): Promise<number> {
    const { partition, waiting } = part
    let counted = part.counted
    let isPaged = false
    for (const [index, { read, end, from }] of part.lanes.entries()) {
      counted += await this.#countUnread(partition, index, read, end)
      if (from === '') continue
      isPaged = true
      counted += await this.#countPending(partition, index, { from, read })
    }
    if (part.isAgainLeft) {
      isPaged = true
      await this.#eachOnce(partition, partition.tries(this.#group), (member) => {
        counted += countOfMember(member)
        this.oldestMicros = Math.min(this.oldestMicros ?? Number.POSITIVE_INFINITY, receivedAtOfMember(member))
      })
    }
    if (!isPaged || this.isTooMuch) return counted
    const moved = movedBetween(part, await describePartition(this.#session, partition, this.#group, 0))
    return Math.abs(counted - waiting) <= moved ? waiting : counted
  }

  /** The events that consumers hold in a partition, and that describe.lua has not counted. */
  async countHeld({ partition, lanes: rests, isHeldLeft }: GroupPart): Promise<number> {
    let held = 0
    for (const [index, { read, holders }] of rests.entries()) {
      for (const holder of holders) held += await this.#countPending(partition, index, { from: '', read, holder })
    }
    if (isHeldLeft) {
      await this.#eachOnce(partition, partition.held(this.#group), (member) => {
        held += countOfMember(member)
      })
    }
    return held
  }

  async #countPending(
    partition: PartitionKeys,
    index: number,
    { from, read, holder = '' }: { readonly from: string; readonly read: string; readonly holder?: string },
  ): Promise<number> {
    const keys = [partition.books, partition.streams[index]!]
    let events = 0
    let at: string | null = from
    while (at !== null && !(holder === '' && this.isTooMuch)) {
      const args: string[] = [this.#group, at, read, String(countedPerPage), holder]
      const [found, entries, last] = listOf(await this.#session.run('count-pending', partition, keys, args))
      events += numberOf(found)
      if (holder === '') this.#entries += numberOf(entries)
      at = textOf(last) || null
    }
    return events
  }

  /** Calls back once for each member of a group's own stream that exists during the whole scan. */
  async #eachOnce(partition: PartitionKeys, key: string, call: (member: string) => void): Promise<void> {
    // A member's number is unique in its own stream.
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const args = [cursor, countedPerPage]
      const reply = await this.#session.run('list-members', partition, [partition.books, key], args)
      const [next, ...members] = listOf(reply).map(textOf)
      for (const member of members) {
        const number = member.slice(0, member.indexOf('-'))
        if (seen.has(number)) continue
        seen.add(number)
        call(member)
      }
      cursor = next!
    } while (cursor !== '0')
  }

  /** Counts the events of a lane after an entry and below an offset. */
  async #countUnread(partition: PartitionKeys, index: number, read: string, end: number): Promise<number> {
    const { books, streams } = partition
    let events = 0
    for (let from = read; from !== '' && !this.isTooMuch; ) {
      const { offset, count } = placeOf(from)
      const reached = offset + count
      if (reached >= end) break
      const args = [lanes[index]!, from, end, entriesPerPage]
      const reply = await this.#session.run('count-unread', partition, [books, streams[index]!], args)
      const [found, last, trimmed, entries] = listOf(reply)
      // Entries that were trimmed since were settled by this group after its counters were read: count them.
      if (from !== '0-0') events += Math.max(0, Math.min(numberOf(trimmed), end) - reached)
      events += numberOf(found)
      this.#entries += numberOf(entries)
      from = textOf(last)
    }
    return events
  }
}

/** How many events were reopened, lost or settled between two descriptions. */
function movedBetween(before: GroupPart, after: GroupPart): number {
  const sumOf = ({ ledger, passed }: GroupPart) => ledger.reopened + ledger.lost + passed
  return sumOf(after) - sumOf(before)
}

interface Memory {
  readonly usedBytes: number | null
  readonly limitBytes: number | null
}

/**
 * Memory use of the masters: the sum, or, where they have limits, that of the master nearest to its limit, because its
 * partitions fill up first. Null when a master does not report it.
 */
export async function readMemory(masters: readonly RedisNode[]): Promise<Memory> {
  const each = await Promise.all(masters.map(memoryOf))
  const known = each.filter(({ usedBytes }) => usedBytes !== null)
  if (known.length < each.length || each.length === 0) return { usedBytes: null, limitBytes: null }
  const share = ({ usedBytes, limitBytes }: Memory) => (limitBytes === null ? -1 : usedBytes! / limitBytes)
  const fullest = known.toSorted((a, b) => share(b) - share(a))[0]!
  if (fullest.limitBytes !== null) return fullest
  return { usedBytes: known.reduce((sum, { usedBytes }) => sum + usedBytes!, 0), limitBytes: null }
}

async function memoryOf(master: RedisNode): Promise<Memory> {
  // INFO may be denied; that must not fail the whole description.
  const info = await master.command('INFO', 'memory').then(textOf, () => '')
  const figure = (name: string) => {
    const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]
    return value === undefined ? null : Number(value)
  }
  return { usedBytes: figure('used_memory'), limitBytes: figure('maxmemory') || null }
}
