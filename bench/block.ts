// A block: one run of one workload or floor, as a separate program that prints one JSON line.

/** What had happened when an event counted as done (docs/benchmark.md). */
export type DurabilityLabel = 'none' | 'everysec' | 'disk'

export interface BlockResult {
  /** Events completed in the measured time. */
  readonly events: number
  readonly seconds: number
  /** User and system time of the measured service, all its threads and processes, without the generator. */
  readonly serviceCpuSeconds: number
  readonly durability: DurabilityLabel
  /** Problems found by the validity gate; a result counts only when there are none. */
  readonly problems: readonly string[]
  /** Further results of this workload. */
  readonly details: Readonly<Record<string, number | string>>
}

/** Instead of a result, when what the block measures is not installed. */
export interface Absence {
  /** Why, and what to install. */
  readonly absent: string
}

/** Main function of a block's program: parses the options, one JSON argument, measures and prints the result. */
export async function runBlock<Options>(measure: (options: Options) => Promise<BlockResult | Absence>): Promise<void> {
  const options: Options = JSON.parse(process.argv[2] ?? '{}')
  const result = await measure(options)
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
