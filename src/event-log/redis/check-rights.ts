// Whether the user may run every command that the log needs. The server is asked what it would allow; nothing is run.

import { MillraceError } from '../../errors.ts'
import { listOf, type Reply, textOf } from './redis-connection.ts'

/** KEY stands for a key under the prefix. Commands that run inside scripts are among them. */
export const neededCommands = [
  'ping',
  'info',
  'command info ping',
  'time',
  'evalsha 0000000000000000000000000000000000000000 1 KEY',
  'spublish KEY 1',
  'ssubscribe KEY',
  'sunsubscribe KEY',
  'exists KEY',
  'get KEY',
  'set KEY 1',
  'del KEY',
  'unlink KEY',
  'hgetall KEY',
  'hkeys KEY',
  'hvals KEY',
  'hget KEY 1',
  'hexists KEY 1',
  'hmget KEY 1',
  'hset KEY 1 1',
  'hdel KEY 1',
  'hincrby KEY 1 1',
  'hlen KEY',
  'hscan KEY 0',
  'hstrlen KEY 1',
  'sadd KEY 1',
  'srem KEY 1',
  'smembers KEY',
  'zadd KEY 1 1',
  'zrem KEY 1',
  'zcard KEY',
  'zpopmin KEY',
  'zrangebyscore KEY 0 1',
  'getbit KEY 1',
  'setbit KEY 1 1',
  'xadd KEY * 1 1',
  'xrange KEY - +',
  'xrevrange KEY + -',
  'xtrim KEY MINID 0',
  'xack KEY 1 0-1',
  'xclaim KEY 1 1 0 0-1',
  'xpending KEY 1',
  'xreadgroup GROUP 1 1 STREAMS KEY >',
  'xgroup create KEY 1 0',
  'xgroup delconsumer KEY 1 1',
  'xgroup destroy KEY 1',
  'xinfo groups KEY',
  'xinfo consumers KEY 1',
] as const

export interface RightsConnection {
  run(name: 'denied-commands', keys: readonly string[], args: readonly string[]): Promise<Reply>
}

/** Errors: `failed_precondition`, naming each command that is denied. */
export async function checkRights(connection: RightsConnection, key: string): Promise<void> {
  const denied = listOf(await connection.run('denied-commands', [key], neededCommands))
  if (denied.length === 0) return
  const names = denied.map((line) => nameOf(textOf(line)))
  throw new MillraceError(
    'failed_precondition',
    `the user of MILLRACE_REDIS_URL may not run ${names.join(', ')} on ${key}: allow it (ACL SETUSER … ${names.map((name) => `+${name}`).join(' ')} and keys and channels by the prefix)`,
  )
}

const withSubcommand = ['xgroup', 'xinfo', 'command']

/** As ACL names it. */
function nameOf(line: string): string {
  const [command = '', subcommand] = line.split(' ')
  return withSubcommand.includes(command) ? `${command}|${subcommand}` : command
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
