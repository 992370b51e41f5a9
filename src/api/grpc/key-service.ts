// KeyService: API keys.

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import type { Grant, Keys } from '../../pipeline/keys.ts'
import { keyRpcs as rpcs } from '../../wire/keys.ts'
import { done, unary } from './unary.ts'

export function keyHandlers(keys: Keys): UntypedServiceImplementation {
  return {
    createKey: unary(rpcs.create, (request) => keys.create(request)),
    listKeys: unary(rpcs.list, (query) => keys.list(query)),
    revokeKey: unary(rpcs.revoke, ({ keyId }) => done(keys.revoke(keyId))),
    createTicket: unary(rpcs.createTicket, async ({ key, ...request }) =>
      keys.createTicket(await grantOf(keys, key), request),
    ),
    checkKey: unary(rpcs.check, ({ key }) => grantOf(keys, key)),
  }
}

async function grantOf(keys: Keys, key: string): Promise<Grant> {
  const grant = await keys.check(key)
  if (grant === null) throw new MillraceError('unauthenticated', 'the key is not valid')
  return grant
}
