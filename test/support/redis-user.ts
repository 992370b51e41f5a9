// A Redis user that may do what the log needs and nothing else.

import { usedCommands } from '../../src/event-log/redis/used-commands.ts'
import type { Redis } from './redis-server.ts'

const name = 'limited'
const password = 'secret'

/** Makes the user: only the commands that are used, only keys that begin so. */
export async function makeLimitedUser(server: Redis, prefix: string): Promise<void> {
  const commands = Object.keys(usedCommands).map((command) => `+${command}`)
  const rules = ['reset', 'on', `>${password}`, `~${prefix}*`, `&${prefix}*`, ...commands]
  const reply = await server.command('ACL', 'SETUSER', name, ...rules)
  if (!reply.startsWith('+OK')) throw new Error(reply)
}

/** The address, as that user. */
export function asLimitedUser(url: string): string {
  const address = new URL(url)
  address.username = name
  address.password = password
  return address.href
}

/** Throws when the user tried what it may not. */
export async function refuseDenials(server: Redis): Promise<void> {
  const reply = await server.command('ACL', 'LOG')
  // An attempt to log in before the user was there is no denial.
  const denial = /reason\r\n\$\d+\r\n(command|key|channel)\r\n[\s\S]*?object\r\n\$\d+\r\n(.*)\r\n/.exec(reply)
  if (denial !== null) throw new Error(`the log was denied the ${denial[1]} ${denial[2]}`)
}
