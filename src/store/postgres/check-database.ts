// What would make events vanish or be refused later, checked at the start. Each check throws `failed_precondition`.

import type { ClientBase } from 'pg'
import { MillraceError } from '../../errors.ts'
import { readSql } from './sql-file.ts'

interface FoundRule {
  readonly table: string
  readonly rule: string
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
