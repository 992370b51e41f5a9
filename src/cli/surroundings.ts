import type { Writable } from 'node:stream'

/** What a command line reads and writes of its process. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly stdout: Writable
  readonly stderr: Writable
}
