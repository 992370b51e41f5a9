// What would make events vanish or be refused later, checked at the start. Each check throws `failed_precondition`.

import type { ClientBase } from 'pg'
import { MillraceError } from '../../errors.ts'
import { readSql } from './sql-file.ts'

interface FoundRule {
  readonly table: string
  readonly rule: string
}

/** Any text of an event is UTF-8: another encoding cannot hold all of it, and SQL_ASCII does not know what it holds. */
export async function refuseOtherEncodings(client: ClientBase): Promise<void> {
  const [found] = (await client.query<{ server_encoding: string }>('SHOW server_encoding')).rows
  const encoding = found?.server_encoding
  if (encoding === 'UTF8') return
  throw new MillraceError(
    'failed_precondition',
    `the database has the encoding ${encoding}, and events are UTF-8: create one with ENCODING 'UTF8' TEMPLATE template0`,
  )
}

/** COPY ignores rules, and they change what an INSERT does, so an event could count as landed without a row. */
export async function refuseRules(client: ClientBase): Promise<void> {
  const [found] = (await client.query<FoundRule>(readSql('find-rules'))).rows
  if (found === undefined) return
  const fix = `DROP RULE ${found.rule} ON ${found.table}, and use a trigger instead`
  throw new MillraceError(
    'failed_precondition',
    `the table ${found.table} has the rule ${found.rule}, which changes or hides what Millrace inserts: ${fix}`,
  )
}
