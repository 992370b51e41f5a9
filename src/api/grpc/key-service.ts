// KeyService: API keys.

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import type { Keys } from '../../pipeline/keys.ts'
import { keyRpcs as rpcs } from '../../wire/keys.ts'
import type { Callers } from './per-caller.ts'
import { done, unary } from './unary.ts'

export function keyHandlers(keys: Keys, callers: Callers): UntypedServiceImplementation {
  return {
    createKey: unary(rpcs.create, (request) => keys.create(request)),
    listKeys: unary(rpcs.list, (query) => keys.list(query)),
    revokeKey: unary(rpcs.revoke, ({ keyId }) => done(keys.revoke(keyId))),
    createTicket: unary(rpcs.createTicket, async (request, _signal, { metadata }) =>
      keys.createTicket(callers.get(metadata)!.grant, request),
    ),
    checkKey: unary(rpcs.check, async ({ key }) => {
      const grant = await keys.check(key)
      if (grant === null) throw new MillraceError('unauthenticated', 'the key is not valid')
      return grant
    }),
  }
}
