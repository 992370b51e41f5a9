// `millrace migrate`: creates the tables in PostgreSQL, so that the server's role needs no right to create them.

import { loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { migrateStore } from '../store/open-store.ts'
import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'

export async function run({ configInput, terminal }: CommandInput): Promise<number> {
  const { postgresUrl } = loadConfig(configInput)
  if (postgresUrl === null) {
    const problem =
      'MILLRACE_POSTGRES_URL is not set; set it to the database to migrate (the embedded store is migrated by millrace start)'
    throw new MillraceError('failed_precondition', problem, { field: 'postgres_url' })
  }
  const applied = await migrateStore(postgresUrl)
  if (terminal.json) terminal.printJson({ applied })
  else terminal.print(applied.length === 0 ? 'The tables are up to date.' : `Applied migration ${applied.join(', ')}.`)
  return exitCodes.done
}
