// The API keys in the database: the part of the store's contract that is about them. The key itself is not stored, only its
// hash.

import type { KeyDescription } from '../pipeline/keys.ts'

export interface StoredApiKey extends KeyDescription {
  /** SHA-256 of the key, 32 bytes. */
  readonly hash: Uint8Array
}

/**
 * What became of a key that was to be stored.
 * - `id_taken`: a key has its id.
 * - `name_taken`: `maxValidPerName` keys with its name have not ended.
 * - `admin_exists`: a key with the scope `admin` has not ended.
 * - `full`: `maxKeys` keys are stored.
 */
export type ApiKeyInsertion = 'inserted' | 'id_taken' | 'name_taken' | 'admin_exists' | 'full'

export interface ApiKeyQuery {
  /** Keys behind this one; null for all. */
  readonly after: Pick<StoredApiKey, 'name' | 'keyId'> | null
  /** 1 or more. */
  readonly limit: number
}

export interface ApiKeyUse {
  readonly keyId: string
  readonly lastUsedAtMicros: number
}

/** A key has ended when it is revoked, or expired by the clock of the caller: at `createdAtMicros` of the key to insert. */
export interface ApiKeys {
  /**
   * Stores a key, unless that would break a rule: at most `maxKeys` keys, and `maxValidPerName` of a name that have not ended.
   * Keys that ended more than `endedKeptMs` ago are deleted first. Atomic, with any number of processes that insert at once:
   * so one of them wins the first admin key. Durable as landEvents. Errors: those of landEvents.
   * @param key neither revoked nor used.
   * @param isFirstAdmin stores it only when no key with the scope `admin` is stored that has not ended.
   */
  insertApiKey(key: StoredApiKey, isFirstAdmin: boolean): Promise<ApiKeyInsertion>

  /** Lists keys in the order of the bytes of (name, keyId). Errors: `unavailable`. */
  listApiKeys(query: ApiKeyQuery): Promise<readonly StoredApiKey[]>

  /** Returns whether the key exists. If it was revoked before, the first time stays. Durable and errors as landEvents. */
  revokeApiKey(keyId: string, atMicros: number): Promise<boolean>

  /** Notes when keys were used, unless a later time is noted; an id must not be given twice. Unknown ids are ignored. */
  noteApiKeysUsed(uses: readonly ApiKeyUse[]): Promise<void>
}
