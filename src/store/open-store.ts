// Chooses the database. The only file that names a store driver.

import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { EventStore } from './event-store.ts'
import { migratePostgres, openPostgresStore } from './postgres/postgres-store.ts'
import { openSqliteStore } from './sqlite/sqlite-store.ts'

export type StoreConfig = Pick<Config, 'dataDir' | 'diskReserveBytes'> &
  Partial<Pick<Config, 'postgresUrl' | 'deadSqlstates'>>

export interface OpenStoreOptions {
  /** Whether a new database may be made. Not where events have landed before: then the old one is missing. Default true. */
  readonly mayCreate?: boolean
  /** Hears of an error code of PostgreSQL of which nobody knows whether it passes by itself. */
  readonly onUnlistedSqlstate?: (sqlState: string) => void
}

/**
 * Opens the store that the configuration asks for: a PostgreSQL server, or else `store.db` in the data directory, which
 * must be there and be owned by this process (log.db has its lock). Errors: as openPostgresStore and openSqliteStore.
 */
export function openStore(
  { dataDir, diskReserveBytes, postgresUrl = null, deadSqlstates = [] }: StoreConfig,
  { mayCreate = true, onUnlistedSqlstate = () => {} }: OpenStoreOptions = {},
): Promise<EventStore> {
  if (postgresUrl !== null) return openPostgresStore({ url: postgresUrl, deadSqlstates, onUnlistedSqlstate })
  return openSqliteStore({ path: join(dataDir, 'store.db'), diskReserveBytes, mayCreate })
}

/** Brings the tables of a PostgreSQL database to this version; answers the numbers of the migrations that were missing. */
export function migrateStore(postgresUrl: string): Promise<number[]> {
  return migratePostgres(postgresUrl)
}
