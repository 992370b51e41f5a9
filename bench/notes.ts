// What a handler under measurement notes in a file of the data directory, and the block reads.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const giveUpAfterMs = 120_000

export interface Note {
  /** In milliseconds since 1970. */
  readonly atMs: number
  /** CPU time of the process until then. */
  readonly cpuSeconds: number
}

export function writeNote(directory: string, name: string): void {
  const { user, system } = process.cpuUsage()
  const note: Note = { atMs: Date.now(), cpuSeconds: (user + system) / 1e6 }
  writeFileSync(join(directory, `${name}.json`), JSON.stringify(note))
}

/** Waits for the note. */
export async function readNote(directory: string, name: string): Promise<Note> {
  const path = join(directory, `${name}.json`)
  const startMs = performance.now()
  while (!existsSync(path) || readFileSync(path).length === 0) {
    if (performance.now() - startMs > giveUpAfterMs) throw new Error(`${name} was not reached in ${giveUpAfterMs} ms`)
    await sleep(5)
  }
  return JSON.parse(readFileSync(path, 'utf8'))
}
