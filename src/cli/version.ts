// `millrace version`: prints the versions of Millrace, Node and SQLite.

import { readFileSync } from 'node:fs'
import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'

/** Reads package.json, which is two folders above both src/cli and dist/cli. */
export function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

export async function run({ terminal }: CommandInput): Promise<number> {
  const version = readVersion()
  const { node, sqlite } = process.versions
  if (terminal.json) terminal.printJson({ version, node: `v${node}`, sqlite: sqlite ?? null })
  else terminal.print(`millrace ${version} (Node ${node}, SQLite ${sqlite ?? 'unknown'})`)
  return exitCodes.done
}
