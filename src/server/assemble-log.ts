// The event log of a server, reporting to its metrics and health.

import type { CommitStats, EventLog, LogHealth } from '../event-log/event-log.ts'
import type { openEventLog } from '../event-log/open-event-log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ServerContext } from './server-context.ts'

export interface ServerLog {
  readonly eventLog: EventLog
  readonly logHealth: () => LogHealth
}

/** Errors: those of openEventLog. */
export async function assembleLog(
  { config, logger, metrics, health, now }: ServerContext,
  open: typeof openEventLog,
): Promise<ServerLog> {
  let logHealth: LogHealth = { problem: 'the log is being opened', persistence: 'unknown', isUnverified: false }
  const eventLog = await open(config, {
    logger,
    now,
    onCommit: (commit) => countCommit(metrics, commit),
    onReset: () => metrics.logReset.add(1),
    onHealth: (found) => {
      logHealth = found
      health.setComponent('log', found.problem === null, found.problem)
    },
  })
  return { eventLog, logHealth: () => logHealth }
}

function countCommit(metrics: Metrics, { durationMs, entries, bytes }: CommitStats): void {
  metrics.logCommits.add(1)
  metrics.logCommitDuration.observe(durationMs / 1000)
  metrics.logAppendedEntries.add(entries)
  metrics.logAppendedBytes.add(bytes)
}
