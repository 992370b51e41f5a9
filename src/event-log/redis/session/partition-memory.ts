// What this process remembers of a partition, from the replies of its scripts: enough to notice that the server has
// lost something, and to count how much when a new epoch begins.

import { type Lane, lanes } from '../../../event/event.ts'
import { listOf, numberOf, type Reply, textOf } from '../connection/redis-connection.ts'
import { laneNumber } from '../redis-keys.ts'

/** An entry that this process has stored or read. */
export interface KnownEntry {
  readonly id: string
  readonly checksum: string
}

/** A group's ledger as the scripts return it: start, reopened, landed, dead, lost. */
type Ledger = readonly number[]

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
      for (const [group, ledger] of memory.#ledgers) both.#ledgers.set(group, ledger)
    }
    return both
  }

  noteEnd(lane: Lane, end: number, entry: KnownEntry | null): void {
    const index = laneNumber(lane) - 1
    this.ends[index] = Math.max(this.ends[index]!, end)
    if (entry !== null) this.entries[index] = entry
  }

  /** Notes the ledgers that a script returned, each `{group, start, reopened, landed, dead, lost}`. */
  noteLedgers(replies: readonly Reply[]): void {
    for (const reply of replies) {
      const [group, ...terms] = listOf(reply)
      this.#ledgers.set(
        textOf(group),
        terms.map((term) => Math.max(0, numberOf(term))),
      )
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
