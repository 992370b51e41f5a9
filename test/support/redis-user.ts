// A Redis user with only the permissions that the log needs.

import { usedCommands } from '../../src/event-log/redis/guard/used-commands.ts'
import type { Redis } from './redis-server.ts'

const name = 'limited'
const password = 'secret'

/** Creates the user: only the commands that the log uses, only keys with this prefix. */
export async function makeLimitedUser(server: Redis, prefix: string): Promise<void> {
  const commands = Object.keys(usedCommands).map((command) => `+${command}`)
  const rules = ['reset', 'on', `>${password}`, `~${prefix}*`, `&${prefix}*`, ...commands]
  const reply = await server.command('ACL', 'SETUSER', name, ...rules)
  if (!reply.startsWith('+OK')) throw new Error(reply)
}

/** The URL with that user's credentials. */
export function asLimitedUser(url: string): string {
  const address = new URL(url)
  address.username = name
  address.password = password
  return address.href
}

/** Throws if the user was denied a command or key. */
export async function refuseDenials(server: Redis): Promise<void> {
  const reply = await server.command('ACL', 'LOG')
  // A failed login from before the user existed does not count.
  const denial = /reason\r\n\$\d+\r\n(command|key|channel)\r\n[\s\S]*?object\r\n\$\d+\r\n(.*)\r\n/.exec(reply)
  if (denial !== null) throw new Error(`the log was denied the ${denial[1]} ${denial[2]}`)
}
