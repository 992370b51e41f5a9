// A fresh directory for the data of one block.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs the work with a directory in BENCH_DIR (default: the system's), which is removed afterwards. */
export async function withTempDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(benchDirectory(), 'millrace-bench-'))
  try {
    return await work(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

export function benchDirectory(): string {
  return process.env.BENCH_DIR ?? tmpdir()
}
