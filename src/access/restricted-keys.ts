// Keys with a key for some topics or types: it makes and ends none, because they could be wider.

import { MillraceError } from '../errors.ts'
import type { Keys } from '../pipeline/keys.ts'

export function restrictKeys(keys: Keys): Keys {
  const refuse = async () => {
    const text = 'the key is for some topics or types only: manage keys with one that is for all'
    throw new MillraceError('permission_denied', text)
  }
  return {
    ...{ create: refuse, list: refuse, revoke: refuse },
    check: (text) => keys.check(text),
    checkTicket: (text) => keys.checkTicket(text),
    checkSession: (text) => keys.checkSession(text),
    onEnded: (keyId, listener) => keys.onEnded(keyId, listener),
    createTicket: (grant, request) => keys.createTicket(grant, request),
    createSession: (key) => keys.createSession(key),
  }
}
