// A block: one run of one workload or floor, a program of its own, which prints one JSON line.

/** What had happened when an event counted as done (docs/benchmark.md). */
export type DurabilityLabel = 'none' | 'everysec' | 'disk'

export interface BlockResult {
  /** Events done in the measured time. */
  readonly events: number
  readonly seconds: number
  /** User and system time of the measured service, all its threads and processes; the generator is not in it. */
  readonly serviceCpuSeconds: number
  readonly durability: DurabilityLabel
  /** What the validity gate found wrong; a figure counts only when this is empty. */
  readonly problems: readonly string[]
  /** Further figures of this workload. */
  readonly details: Readonly<Record<string, number | string>>
}

/** Instead of a result: what the block measures is not on this machine. */
export interface Absence {
  /** Why, and what helps. */
  readonly absent: string
}

/** Runs the block that a program is, with the options that the runner passed as one JSON argument. */
export async function runBlock<Options>(measure: (options: Options) => Promise<BlockResult | Absence>): Promise<void> {
  const options: Options = JSON.parse(process.argv[2] ?? '{}')
  const result = await measure(options)
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
