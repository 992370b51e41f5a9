// The store on PostgreSQL, in this process.

import { mock, type TestContext } from 'node:test'
import { Client } from 'pg'
import type { EventStore } from '../../src/store/event-store.ts'
import { type OpenStoreOptions, openStore } from '../../src/store/open-store.ts'
import { cleanup } from './cleanup.ts'

export interface PostgresStoreSettings extends OpenStoreOptions {
  readonly deadSqlstates?: readonly string[]
}

/** Opens the store; closed when the test ends. */
export async function openPostgres(
  t: TestContext,
  postgresUrl: string,
  { deadSqlstates = [], ...options }: PostgresStoreSettings = {},
): Promise<EventStore> {
  const store = await openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl, deadSqlstates }, options)
  cleanup(t, () => store.close())
  return store
}

/** Records the statements sent to the server until the test ends; returns the first words of each. */
export function listenToStatements(t: TestContext): () => string[] {
  const query = mock.method(Client.prototype, 'query')
  cleanup(t, () => query.mock.restore())
  return () =>
    query.mock.calls.map(({ arguments: [statement] }: { arguments: unknown[] }) => {
      const text = typeof statement === 'string' ? statement : (statement as { text: string }).text
      return text.split(' ', 2).join(' ')
    })
}
