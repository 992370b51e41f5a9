// PostgreSQL behind PgBouncer in transaction mode: the suite of every store.

import { after, before } from 'node:test'
import { PgBouncer } from '../support/pgbouncer.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { eventStoreSuite } from './event-store.suite.ts'
import { postgresHarness } from './postgres-harness.ts'

let server: Postgres
let pooler: PgBouncer
before(async () => {
  server = await sharedPostgres()
  pooler = await PgBouncer.create(server)
})
after(() => pooler.destroy())

eventStoreSuite(postgresHarness('pgbouncer', { server: () => server, through: (url) => pooler.through(url) }))
