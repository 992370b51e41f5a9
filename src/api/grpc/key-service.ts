// KeyService: API keys.

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import type { Grant, Keys } from '../../pipeline/keys.ts'
import { keyRpcs as rpcs } from '../../wire/keys.ts'
import { wrongKey } from '../access.ts'
import { done, unary } from './unary.ts'

export function keyHandlers(keys: Keys): UntypedServiceImplementation {
  return {
    createKey: unary(rpcs.create, (request) => keys.create(request)),
    listKeys: unary(rpcs.list, (query) => keys.list(query)),
    revokeKey: unary(rpcs.revoke, ({ keyId }) => done(keys.revoke(keyId))),
    createTicket: unary(rpcs.createTicket, async ({ key, ...request }) =>
      keys.createTicket((await keys.check(key)) ?? (await keys.checkSession(key)) ?? throwWrongKey(), request),
    ),
    createSession: unary(rpcs.createSession, async ({ key }) => (await keys.createSession(key)) ?? throwWrongKey()),
    checkKey: unary(rpcs.check, ({ key }) => grantOf(keys, key)),
  }
}

/** The grant of a key, a ticket or a session. Errors: `unauthenticated`. */
async function grantOf(keys: Keys, text: string): Promise<Grant> {
  const grant = (await keys.check(text)) ?? (await keys.checkTicket(text)) ?? (await keys.checkSession(text))
  return grant ?? throwWrongKey()
}

function throwWrongKey(): never {
  throw wrongKey()
}
