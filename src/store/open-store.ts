// Chooses the database. The only file that names a store driver.

import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { EventStore } from './event-store.ts'
import { openSqliteStore } from './sqlite/sqlite-store.ts'

export interface OpenStoreOptions {
  /** Whether a new database may be made. Not where events have landed before: then the old one is missing. Default true. */
  readonly mayCreate?: boolean
}

/**
 * Opens the store that the configuration asks for: today always `store.db` in the data directory, which must be there and
 * be owned by this process (log.db has its lock). Errors: as openSqliteStore.
 */
export function openStore(
  { dataDir, diskReserveBytes }: Pick<Config, 'dataDir' | 'diskReserveBytes'>,
  { mayCreate = true }: OpenStoreOptions = {},
): Promise<EventStore> {
  return openSqliteStore({ path: join(dataDir, 'store.db'), diskReserveBytes, mayCreate })
}
