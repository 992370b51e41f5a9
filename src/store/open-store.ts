// Opens the configured store. The only file that names a store driver.

import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { EventStore } from './event-store.ts'
import { migratePostgres, openPostgresStore } from './postgres/postgres-store.ts'
import { openSqliteStore } from './sqlite/sqlite-store.ts'

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
export function openStore(
  { dataDir, diskReserveBytes, postgresUrl = null, deadSqlstates = [] }: StoreConfig,
  { mayCreate = true, onUnlistedSqlstate = () => {} }: OpenStoreOptions = {},
): Promise<EventStore> {
  if (postgresUrl !== null) return openPostgresStore({ url: postgresUrl, deadSqlstates, onUnlistedSqlstate })
  return openSqliteStore({ path: join(dataDir, 'store.db'), diskReserveBytes, mayCreate })
}

/** Brings the tables of a PostgreSQL database to this version; returns the numbers of the applied migrations. */
export function migrateStore(postgresUrl: string): Promise<number[]> {
  return migratePostgres(postgresUrl)
}
