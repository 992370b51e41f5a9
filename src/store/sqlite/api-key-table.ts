// The table of API keys, in the thread that owns the file. Every method is one statement or one transaction and must run
// inside the flush latch.

import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { keyLimits } from '../../pipeline/keys.ts'
import type { ApiKeyInsertion, ApiKeyQuery, ApiKeyUse, StoredApiKey } from '../api-keys.ts'
import { readSql } from './sql-file.ts'

export class ApiKeyTable {
  readonly #database: DatabaseSync
  readonly #deleteEnded: StatementSync
  readonly #refuse: StatementSync
  readonly #insert: StatementSync
  readonly #list: StatementSync
  readonly #revoke: StatementSync
  readonly #noteUsed: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#deleteEnded = database.prepare(readSql('delete-ended-api-keys'))
    this.#refuse = database.prepare(readSql('refuse-api-key'))
    this.#insert = database.prepare(readSql('insert-api-key'))
    this.#list = database.prepare(readSql('list-api-keys'))
    this.#revoke = database.prepare(readSql('revoke-api-key'))
    this.#noteUsed = database.prepare(readSql('note-api-key-used'))
  }

  insert(key: StoredApiKey, isFirstAdmin: boolean): ApiKeyInsertion {
    return this.#inTransaction(() => {
      const { keyId, name, hash, ratePerSecond, createdAtMicros, expiresAtMicros } = key
      const { maxKeys, maxValidPerName, endedKeptMs } = keyLimits
      this.#deleteEnded.run(createdAtMicros - endedKeptMs * 1000)
      const refusal = this.#refuse.get(keyId, name, createdAtMicros, Number(isFirstAdmin), maxKeys, maxValidPerName)
        ?.refusal as ApiKeyInsertion | null
      if (refusal !== null) return refusal
      const lists = [key.scopes, key.topics, key.types].map((list) => (list === null ? null : JSON.stringify(list)))
      this.#insert.run(keyId, name, hash, ...lists, ratePerSecond, createdAtMicros, expiresAtMicros)
      return 'inserted'
    })
  }

  list({ after, limit }: ApiKeyQuery): StoredApiKey[] {
    return this.#list.all(after?.name ?? '', after?.keyId ?? '', limit).map(toStoredApiKey)
  }

  revoke(keyId: string, atMicros: number): boolean {
    return this.#revoke.run(keyId, atMicros).changes === 1
  }

  noteUsed(uses: readonly ApiKeyUse[]): void {
    this.#inTransaction(() => {
      for (const { keyId, lastUsedAtMicros } of uses) this.#noteUsed.run(keyId, lastUsedAtMicros)
    })
  }

  #inTransaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (thrown) {
      // After a full disk or a failed write SQLite has already rolled back.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
  }
}

function toStoredApiKey(row: Record<string, SQLOutputValue>): StoredApiKey {
  const [scopes, topics, types] = [row.scopes, row.topics, row.types].map((list) => JSON.parse(list as string))
  return { ...row, scopes, topics, types } as unknown as StoredApiKey
}
