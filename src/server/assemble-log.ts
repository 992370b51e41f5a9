// The event log of a server, reporting to its metrics and health.

import type { Role } from '../config/config-table.ts'
import type { CommitStats, EventLog, LogHealth, LogProblem } from '../event-log/event-log.ts'
import type { openEventLog } from '../event-log/open-event-log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ServerContext } from './server-context.ts'

/** One failed check may be a connection that was replaced. */
const checksUntilDown = 2

export interface ServerLog {
  readonly eventLog: EventLog
  readonly logHealth: () => LogHealth
}

/** Errors: those of openEventLog. */
export async function assembleLog(
  { config, logger, metrics, health, now }: ServerContext,
  open: typeof openEventLog,
): Promise<ServerLog> {
  let logHealth: LogHealth = { problem: null, persistence: 'unknown', isUnverified: false }
  let failedChecks = 0
  const eventLog = await open(config, {
    logger,
    now,
    onCommit: (commit) => countCommit(metrics, commit),
    onReset: () => metrics.logReset.add(1),
    onHealth: (found) => {
      logHealth = found
      const { problem } = found
      failedChecks = problem === null ? 0 : failedChecks + 1
      const isDown = problem !== null && failedChecks >= checksUntilDown && !canWork(problem, config.roles)
      health.report('log', problem === null ? null : { reason: problem.reason, message: problem.message }, isDown)
    },
  })
  return { eventLog, logHealth: () => logHealth }
}

/** A publish still gets a verdict with a hint, or, where there are none, work can be taken. */
function canWork({ answersAppends, delivers }: LogProblem, roles: readonly Role[]): boolean {
  return roles.includes('ingest') ? answersAppends : delivers
}

function countCommit(metrics: Metrics, { durationMs, entries, bytes }: CommitStats): void {
  metrics.logCommits.add(1)
  metrics.logCommitDuration.observe(durationMs / 1000)
  metrics.logAppendedEntries.add(entries)
  metrics.logAppendedBytes.add(bytes)
}
