// `millrace keys check`: tells offline whether a text is a key, and then asks the server, if one answers, what it allows.

import { readFileSync } from 'node:fs'
import { readKey } from '../access/key-text.ts'
import { MillraceError } from '../errors.ts'
import { formatRfc3339 } from '../lib/rfc3339.ts'
import { type CheckedKey, checkedKey } from '../wire/keys.ts'
import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const [given = ''] = input.arguments
  const key = given === '-' ? readFileSync(0, 'utf8').trim() : given
  const reading = readKey(key)
  if ('problem' in reading) {
    if (terminal.json) terminal.printJson({ well_formed: false, problem: reading.problem })
    else terminal.print(`not a key: ${reading.problem}`)
    return exitCodes.failed
  }
  const { keyId } = reading
  // The server is called with the key itself: to check it needs no other.
  const answer = await withClient(input, ({ keys }) => keys.check(key), key).catch((error: unknown) => {
    if (error instanceof MillraceError && ['unauthenticated', 'unavailable'].includes(error.code)) return error
    throw error
  })
  const isValid = answer instanceof MillraceError ? (answer.code === 'unauthenticated' ? false : null) : true
  if (terminal.json) {
    const allowed = answer instanceof MillraceError ? {} : checkedKey.toJson(answer)
    terminal.printJson({ well_formed: true, key_id: keyId, valid: isValid, ...allowed })
  } else {
    terminal.print(`key ${keyId} is well formed; ${describe(answer)}`)
  }
  return isValid === false ? exitCodes.failed : exitCodes.done
}

function describe(answer: CheckedKey | MillraceError): string {
  if (answer instanceof MillraceError) {
    if (answer.code === 'unauthenticated') return 'the server refuses it: it is unknown, revoked or expired'
    return `no server has said whether it is valid: ${answer.message}`
  }
  const { name, scopes, topics, types, ratePerSecond, expiresAtMs } = answer
  return [
    `it is valid: the key of ${name} for ${scopes.join(', ')}`,
    ...(topics === null ? [] : [`topics ${topics.join(', ')}`]),
    ...(types === null ? [] : [`types ${types.join(', ')}`]),
    ...(ratePerSecond === null ? [] : [`${ratePerSecond} events a second`]),
    ...(expiresAtMs === null ? [] : [`until ${formatRfc3339(expiresAtMs * 1000)}`]),
  ].join('; ')
}
