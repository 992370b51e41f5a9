// The machine and the versions that a result belongs to.

import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { nodeArguments } from './program.ts'
import { benchDirectory } from './temp-directory.ts'

export function machineFacts() {
  const require = createRequire(import.meta.url)
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    filesystem: filesystemOf(benchDirectory()),
    node: process.version,
    nodeArguments,
    sqlite: process.versions.sqlite,
    grpcJs: String(require('@grpc/grpc-js/package.json').version),
    millrace: String(require('../package.json').version),
    commit: commit(),
  }
}

/** The type of the file system, because a flush on tmpfs has no effect. */
function filesystemOf(directory: string): string {
  const names: Readonly<Record<number, string>> = {
    61267: 'ext4',
    16914836: 'tmpfs',
    1481003842: 'xfs',
    2435016766: 'btrfs',
    2035054128: 'overlayfs',
  }
  const { type } = statfsSync(directory)
  return names[type] ?? `0x${type.toString(16)}`
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
  } catch {
    return 'unknown'
  }
}

/** The most important facts in one line. */
export function machineLine(facts: ReturnType<typeof machineFacts>): string {
  const { cores, cpu, kernel, filesystem, node, sqlite, grpcJs } = facts
  return `${cores} cores of ${cpu}, Linux ${kernel}, ${filesystem}, Node ${node}, SQLite ${sqlite}, grpc-js ${grpcJs}`
}
