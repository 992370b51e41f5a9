// Whether the user may run every command that the log needs. The server is asked what it would allow; nothing is run.

import { readFileSync } from 'node:fs'
import type { RedisTarget } from '../../config/redis-url.ts'
import type { DurabilityLevel } from '../../event/durability.ts'
import { listOf, textOf } from './redis-connection.ts'
import type { AskedServer } from './server-facts.ts'
import { commandsOfLevels, commandsOfTopologies, usedCommands } from './used-commands.ts'

const script = readFileSync(new URL('./scripts/denied-commands.lua', import.meta.url), 'utf8')

export interface NeededRights {
  /** One under the prefix; nothing is made there. */
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

/** What the user lacks on a server, as a sentence with the fix; null when nothing. Errors: as `command`. */
export async function missingRights(server: AskedServer, { key, commands }: NeededRights): Promise<string | null> {
  const lines = commands.map(({ line }) => line)
  const denied = new Set(listOf(await server.command('EVAL', script, 0, key, ...lines)).map(textOf))
  const names = commands.filter(({ line }) => denied.has(line)).map(({ name }) => name)
  if (names.length === 0) return null
  const rules = names.map((name) => `+${name}`).join(' ')
  return `the user of MILLRACE_REDIS_URL may not run ${names.join(', ')} on ${key}: allow it (ACL SETUSER … ${rules} and keys and channels by the prefix)`
}

/** The same of an error: who may not even ask is told so by the server, with the name of the command. */
export function missingRightIn(thrown: unknown): string | null {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  if (!(cause instanceof Error && cause.message.startsWith('NOPERM'))) return null
  return `the user of MILLRACE_REDIS_URL lacks a right: ${cause.message.replace(/^NOPERM\s*/, '')}`
}
