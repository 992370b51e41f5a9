// The table of API keys. Every method rejects with the driver's error.

import type { Pool } from 'pg'
import { keyLimits } from '../../pipeline/keys.ts'
import type { ApiKeyInsertion, ApiKeyQuery, ApiKeyUse, StoredApiKey } from '../api-keys.ts'
import { inTransaction } from './list-events.ts'
import { readSql } from './sql-file.ts'

const times = ['createdAtMicros', 'expiresAtMicros', 'revokedAtMicros', 'lastUsedAtMicros'] as const
type TimeColumn = (typeof times)[number]

/** As node-postgres returns it: bigint columns are strings. */
type ApiKeyRow = Omit<StoredApiKey, TimeColumn> & Readonly<Record<TimeColumn, string | null>>

export class ApiKeyTable {
  readonly #landing: Pool
  readonly #reading: Pool
  readonly #begin = readSql('begin-api-key')
  readonly #deleteEnded = readSql('delete-ended-api-keys')
  readonly #refuse = readSql('refuse-api-key')
  readonly #insert = readSql('insert-api-key')
  readonly #list = readSql('list-api-keys')
  readonly #revoke = readSql('revoke-api-key')
  readonly #noteUsed = readSql('note-api-keys-used')

  constructor(landing: Pool, reading: Pool) {
    this.#landing = landing
    this.#reading = reading
  }

  async insert(key: StoredApiKey, isFirstAdmin: boolean): Promise<ApiKeyInsertion> {
    const { keyId, name, hash, scopes, topics, types, ratePerSecond, createdAtMicros, expiresAtMicros } = key
    const { maxKeys, maxValidPerName, endedKeptMs } = keyLimits
    return await inTransaction(this.#landing, this.#begin, async (client) => {
      await client.query(this.#deleteEnded, [createdAtMicros - endedKeptMs * 1000])
      const found = await client.query<{ readonly refusal: ApiKeyInsertion | null }>(this.#refuse, [
        ...[keyId, name, createdAtMicros],
        ...[isFirstAdmin, maxKeys, maxValidPerName],
      ])
      const { refusal } = found.rows[0]!
      if (refusal !== null) return refusal
      await client.query(this.#insert, [
        ...[keyId, name, hash, scopes, topics, types],
        ...[ratePerSecond, createdAtMicros, expiresAtMicros],
      ])
      return 'inserted'
    })
  }

  async list({ after, limit }: ApiKeyQuery): Promise<StoredApiKey[]> {
    const { rows } = await this.#reading.query<ApiKeyRow>(this.#list, [after?.name ?? '', after?.keyId ?? '', limit])
    return rows.map(toStoredApiKey)
  }

  async revoke(keyId: string, atMicros: number): Promise<boolean> {
    return (await this.#landing.query(this.#revoke, [keyId, atMicros])).rowCount === 1
  }

  async noteUsed(uses: readonly ApiKeyUse[]): Promise<void> {
    const columns = [uses.map(({ keyId }) => keyId), uses.map(({ lastUsedAtMicros }) => lastUsedAtMicros)]
    await this.#landing.query(this.#noteUsed, columns)
  }
}

function toStoredApiKey(row: ApiKeyRow): StoredApiKey {
  const micros = Object.fromEntries(times.map((time) => [time, row[time] === null ? null : Number(row[time])]))
  return { ...row, ...micros } as unknown as StoredApiKey
}
