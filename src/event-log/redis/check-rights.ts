// Whether the user may run every command that the log needs. The server is asked what it would allow; nothing is run.

import { MillraceError } from '../../errors.ts'
import { listOf, type Replication, type Reply, textOf } from './redis-connection.ts'
import { usedCommands } from './used-commands.ts'

export interface RightsConnection {
  run(name: 'denied-commands', keys: readonly string[], args: readonly string[]): Promise<Reply>
}

/**
 * @param key one under the prefix.
 * @param replication what appends wait for.
 * Errors: `failed_precondition`, naming each command that is denied.
 */
export async function checkRights(
  connection: RightsConnection,
  key: string,
  replication: Replication | undefined,
): Promise<void> {
  const asked = [...Object.entries(usedCommands), ...waitingCommands(replication)].flatMap(([name, tried]) =>
    tried === null ? [] : [{ name, line: `${name.replace('|', ' ')} ${tried}`.trim() }],
  )
  const lines = asked.map(({ line }) => line)
  const denied = new Set(listOf(await connection.run('denied-commands', [key], lines)).map(textOf))
  const names = asked.filter(({ line }) => denied.has(line)).map(({ name }) => name)
  if (names.length === 0) return
  const rules = names.map((name) => `+${name}`).join(' ')
  throw new MillraceError(
    'failed_precondition',
    `the user of MILLRACE_REDIS_URL may not run ${names.join(', ')} on ${key}: allow it (ACL SETUSER … ${rules} and keys and channels by the prefix)`,
  )
}

function waitingCommands(replication: Replication | undefined): [name: string, tried: string][] {
  if (replication === undefined) return []
  return [replication.isFlushed ? ['waitaof', '0 0 0'] : ['wait', '0 0']]
}

/** Who may not even ask is told so by the server, with the name of the command. */
export function refuseDenied(thrown: unknown): never {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  if (cause instanceof Error && cause.message.startsWith('NOPERM')) {
    const reason = cause.message.replace(/^NOPERM\s*/, '')
    throw new MillraceError('failed_precondition', `the user of MILLRACE_REDIS_URL lacks a right: ${reason}`, { cause })
  }
  throw thrown
}
