// The calls of KeyService.

import type { CreatedKey, KeyPage, KeyRequest } from '../pipeline/keys.ts'
import { type CheckedKey, keyRpcs as rpcs } from '../wire/keys.ts'
import type { MakeCall } from './make-call.ts'

/** What a key is for. The rest is left out for all topics, all types, no rate of its own, and a key that does not expire. */
export type KeyInput = Pick<KeyRequest, 'name' | 'scopes'> & Partial<KeyRequest>

export interface ListKeysOptions {
  /** Max keys of the page, 1 to 1,000. Default 100. */
  readonly limit?: number
  /** `nextCursor` of the page before. */
  readonly cursor?: string | null
}

/** API keys: who may call, and what for. A server with keys asks for the scope `admin`, except to check a key. */
export interface ClientKeys {
  /**
   * Makes a key, and tells it this once.
   * @throws MillraceError `invalid_event` (names the field), `already_exists` (two valid keys have the name),
   *   `failed_precondition` (10,000 keys are stored). `outcomeUnknown`: list the keys, and revoke the one that nobody has.
   */
  create(input: KeyInput): Promise<CreatedKey>

  /** Lists keys by name, also those that have ended, for 30 days. Times are microseconds since 1970. */
  list(options?: ListKeysOptions): Promise<KeyPage>

  /**
   * Ends a key for good, at the server that answers at once, at any other within 5 s. Safe to retry.
   * @throws MillraceError `not_found`.
   */
  revoke(keyId: string): Promise<void>

  /**
   * Returns what a key allows.
   * @throws MillraceError `unauthenticated` for every wrong key: unknown, revoked or expired.
   */
  check(key: string): Promise<CheckedKey>
}

export function keysOver(call: MakeCall): ClientKeys {
  return {
    create: ({ topics = null, types = null, ratePerSecond = null, expiresInSeconds = null, ...input }) =>
      call(rpcs.create, { ...input, topics, types, ratePerSecond, expiresInSeconds }),
    list: ({ limit = 100, cursor = null } = {}) => call(rpcs.list, { limit, cursor }),
    revoke: async (keyId) => void (await call(rpcs.revoke, { keyId })),
    check: (key) => call(rpcs.check, { key }),
  }
}
