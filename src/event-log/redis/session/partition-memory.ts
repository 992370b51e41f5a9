// What this process remembers of a partition, from the replies of its scripts: enough to notice that the server has
// lost something, and to count how much when a new epoch begins.

import { type Lane, lanes } from '../../../event/event.ts'
import { listOf, numberOf, type Reply, type ScriptArgument, textOf } from '../connection/redis-connection.ts'
import { laneNumber, type PartitionKeys } from '../redis-keys.ts'
import type { ScriptName } from '../scripts/redis-scripts.ts'
import { placeOf } from '../stored-batch.ts'

/** An entry that this process has stored or read. */
export interface KnownEntry {
  readonly id: string
  readonly checksum: string
}

/** A script that works on one partition; what the session knows of the partition becomes its last argument. */
export type PartitionCall<Name extends ScriptName = ScriptName> = readonly [
  name: Name,
  partition: PartitionKeys,
  keys: readonly string[],
  args: readonly ScriptArgument[],
]

/** A group's ledger as the scripts return it: start, reopened, landed, dead, lost ('?': unknown). */
type Ledger = readonly (number | '?')[]

export class PartitionMemory {
  /** By lane: the offset that the lane has reached at least. */
  readonly ends = lanes.map(() => 0)
  /** By lane: the last known entry. */
  readonly entries: (KnownEntry | null)[] = lanes.map(() => null)
  readonly #ledgers = new Map<string, Ledger>()

  /** What an earlier memory knew, and where both know something, what this one knows: to be offered to a new epoch. */
  after(earlier: PartitionMemory | undefined): PartitionMemory {
    const both = new PartitionMemory()
    for (const [index, end] of this.ends.entries()) both.ends[index] = Math.max(end, earlier?.ends[index] ?? 0)
    for (const memory of earlier === undefined ? [this] : [earlier, this]) {
      for (const [group, ledger] of memory.#ledgers) {
        if (!(ledger.includes('?') && both.#ledgers.has(group))) both.#ledgers.set(group, ledger)
      }
    }
    return both
  }

  noteEnd(lane: Lane, end: number, entry: KnownEntry | null): void {
    const index = laneNumber(lane) - 1
    this.ends[index] = Math.max(this.ends[index]!, end)
    const known = this.entries[index]
    // An older one, which was only read again, is more likely to be in a copy that lacks the latest.
    if (entry !== null && !(known && offsetOf(known) > offsetOf(entry))) this.entries[index] = entry
  }

  /** Notes the ledgers that a script returned, each `{group, start, reopened, landed, dead, lost, the lanes' ends}`. */
  noteLedgers(replies: readonly Reply[]): void {
    for (const reply of replies) {
      const [group, ...figures] = listOf(reply)
      const terms = figures.map((figure) => (textOf(figure) === '?' ? '?' : Math.max(0, numberOf(figure))))
      const ends = terms.splice(-lanes.length)
      this.#ledgers.set(textOf(group), terms)
      for (const [index, lane] of lanes.entries()) this.noteEnd(lane, Number(ends[index]), null)
    }
  }

  /** The arguments of count-loss.lua. */
  offer(): readonly (number | string)[] {
    return [...this.ends, ...Array.from(this.#ledgers, ([group, ledger]) => [group, ...ledger]).flat()]
  }

  /** Forgets the groups that no longer exist: one that gets the same name later is another one. */
  keepOnly(groups: { has(group: string): boolean }): void {
    for (const group of this.#ledgers.keys()) if (!groups.has(group)) this.#ledgers.delete(group)
  }
}

function offsetOf({ id }: KnownEntry): number {
  return placeOf(id).offset
}
