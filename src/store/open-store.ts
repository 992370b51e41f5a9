// Opens the configured store. The only file that names a store driver, and imports only the one that is used.

import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { EventStore } from './event-store.ts'

export type StoreConfig = Pick<Config, 'dataDir' | 'diskReserveBytes'> &
  Partial<Pick<Config, 'postgresUrl' | 'deadSqlstates'>>

export interface OpenStoreOptions {
  /** Whether a new database may be created; false if events have landed before, so one must exist. Default true. */
  readonly mayCreate?: boolean
  /** Called with a PostgreSQL SQLSTATE that is not in the closed list (sqlstate.ts). */
  readonly onUnlistedSqlstate?: (sqlState: string) => void
}

/**
 * Opens the configured store: the PostgreSQL server of `postgresUrl`, or else `store.db` in the data directory. That
 * directory must exist and belong to this process (log.db holds its lock). Errors: those of openPostgresStore and
 * openSqliteStore.
 */
export async function openStore(
  { dataDir, diskReserveBytes, postgresUrl = null, deadSqlstates = [] }: StoreConfig,
  { mayCreate = true, onUnlistedSqlstate = () => {} }: OpenStoreOptions = {},
): Promise<EventStore> {
  if (postgresUrl !== null) {
    const { openPostgresStore } = await import('./postgres/postgres-store.ts')
    return openPostgresStore({ url: postgresUrl, deadSqlstates, onUnlistedSqlstate })
  }
  const { openSqliteStore } = await import('./sqlite/sqlite-store.ts')
  return openSqliteStore({ path: join(dataDir, 'store.db'), diskReserveBytes, mayCreate })
}

/** Brings the tables of a PostgreSQL database to this version; returns the numbers of the applied migrations. */
export async function migrateStore(postgresUrl: string): Promise<number[]> {
  const { migratePostgres } = await import('./postgres/postgres-store.ts')
  return migratePostgres(postgresUrl)
}
