// The event store of a server, reporting to its metrics and health.

import { compareLog } from '../admin/compare-log.ts'
import { toMillraceError } from '../errors.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { landingGroup } from '../landing/landing.ts'
import { withinMs } from '../lib/abort.ts'
import type { EventStore } from '../store/event-store.ts'
import type { openStore } from '../store/open-store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ServerContext } from './server-context.ts'
import { StoreWatch } from './store-watch.ts'

export interface ServerStore {
  readonly store: EventStore
  readonly storeDriver: string
  readonly storeWatch: StoreWatch
}

/** Opens the store, even if its database does not answer yet. Errors: those of openStore. */
export async function assembleStore(
  { config, logger, metrics, health, monotonicNow }: ServerContext,
  eventLog: EventLog,
  open: typeof openStore,
): Promise<ServerStore> {
  // When events have landed before, a missing store is a loss of data, and creating a new one would hide it.
  const mayCreate = !(await hasLanded(eventLog))
  const store = await open(config, { mayCreate, onUnlistedSqlstate: alarmOnUnlistedSqlstate(metrics, logger) })
  const findDifferences = () => compareLog({ eventLog, store, group: landingGroup }).catch(notCompared)
  const storeWatch = new StoreWatch({ store, health, logger, monotonicNow, findDifferences })
  const { driver: storeDriver } = await storeWatch.start()
  return { store, storeDriver, storeWatch }
}

function notCompared(error: unknown): string[] {
  return [`the database could not be compared with the log: ${toMillraceError(error).message}`]
}

async function hasLanded(eventLog: EventLog): Promise<boolean> {
  const { topics } = await eventLog.describe().catch(async (error: unknown) => {
    // Damage found by describe() fails the log: report that reason then.
    throw (await withinMs(eventLog.failed, 0, null)) ?? error
  })
  return topics.some(({ groups }) => groups.some(({ name, landed }) => name === landingGroup && landed > 0))
}

/** Counts every attempt; logs each code once. */
function alarmOnUnlistedSqlstate(metrics: Metrics, logger: Logger): (sqlstate: string) => void {
  const logged = new Set<string>()
  return (sqlstate) => {
    metrics.landingUnlistedSqlstate.add(1, { code: sqlstate })
    if (logged.has(sqlstate)) return
    logged.add(sqlstate)
    const advice = 'if single events cause it, add it to MILLRACE_DEAD_SQLSTATES'
    logger.error(
      { sqlstate },
      `landing_unlisted_sqlstate: PostgreSQL returned the unlisted SQLSTATE ${sqlstate}, which is retried forever; ${advice}`,
    )
  }
}
