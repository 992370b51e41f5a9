// `millrace migrate`: makes the tables, so that the server's own role needs no right to.

import { loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { migrateStore } from '../store/open-store.ts'
import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'

export async function run({ configInput, terminal }: CommandInput): Promise<number> {
  const { postgresUrl } = loadConfig(configInput)
  if (postgresUrl === null) {
    const problem = 'MILLRACE_POSTGRES_URL is not set; the embedded store needs no migrating, a start does it'
    throw new MillraceError('failed_precondition', problem, { field: 'postgres_url' })
  }
  const applied = await migrateStore(postgresUrl)
  if (terminal.json) terminal.printJson({ applied })
  else terminal.print(applied.length === 0 ? 'The tables are up to date.' : `Applied migration ${applied.join(', ')}.`)
  return exitCodes.done
}
