// Checks whether the user may run every command that the log needs. Checks the ACL only; runs none of the commands.

import { readFileSync } from 'node:fs'
import type { RedisTarget } from '../../../config/redis-url.ts'
import type { DurabilityLevel } from '../../../event/durability.ts'
import { listOf, type RedisNode, textOf } from '../connection/redis-connection.ts'
import { commandsOfLevels, commandsOfTopologies, usedCommands } from './used-commands.ts'

const script = readFileSync(new URL('../scripts/denied-commands.lua', import.meta.url), 'utf8')

export interface NeededRights {
  /** A key under the prefix, which is never created. */
  readonly key: string
  readonly commands: readonly { readonly name: string; readonly line: string }[]
}

export function neededRights(
  key: string,
  { level }: Pick<DurabilityLevel, 'level'>,
  { topology }: Pick<RedisTarget, 'topology'>,
): NeededRights {
  const all = { ...usedCommands, ...commandsOfLevels[level], ...commandsOfTopologies[topology] }
  const commands = Object.entries(all).flatMap(([name, tried]) =>
    tried === null ? [] : [{ name, line: `${name.replace('|', ' ')} ${tried}`.trim() }],
  )
  return { key, commands }
}

/** The rights that the user lacks on a server, as a text with the fix; null when none. Errors: as `command`. */
export async function missingRights(server: RedisNode, { key, commands }: NeededRights): Promise<string | null> {
  const lines = commands.map(({ line }) => line)
  const denied = new Set(listOf(await server.command('EVAL', script, 0, key, ...lines)).map(textOf))
  const names = commands.filter(({ line }) => denied.has(line)).map(({ name }) => name)
  if (names.length === 0) return null
  const rules = names.map((name) => `+${name}`).join(' ')
  return `the user of MILLRACE_REDIS_URL may not run ${names.join(', ')} on ${key}: allow it (ACL SETUSER … ${rules}, with keys and channels of the prefix)`
}

/** The same from a NOPERM error, which names the denied command: the user may lack the rights for the check itself. */
export function missingRightIn(thrown: unknown): string | null {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  if (!(cause instanceof Error && cause.message.startsWith('NOPERM'))) return null
  return `the user of MILLRACE_REDIS_URL lacks a right: ${cause.message.replace(/^NOPERM\s*/, '')}`
}
