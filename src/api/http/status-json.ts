// The status as JSON, with the keys of GET /v1/status. An unknown value is null, never 0.

import { formatRfc3339 } from '../../lib/rfc3339.ts'
import type { GroupState } from '../../pipeline/group-state.ts'
import type { GroupOptions, GroupStatus, ListedGroup, Status } from '../../pipeline/pipeline.ts'
import type { StatusHistory } from '../../pipeline/status-history.ts'

export function statusJson(status: Status): object {
  return {
    version: status.version,
    uptime_seconds: status.uptimeSeconds,
    durability: status.durability,
    log: { driver: status.log.driver, epoch: status.log.epoch },
    store: { driver: status.store.driver, up: status.store.up },
    state: status.state,
    causes: status.causes.map(({ component, reason, message }) => ({ component, reason, message })),
    topics: status.topics.map((topic) => ({
      name: topic.name,
      partitions: topic.partitions,
      groups: topic.groups.map(groupJson),
    })),
    ledger: status.ledger.map((row) => ({
      topic: row.topic,
      group: row.group,
      accepted: row.accepted,
      reopened: row.reopened,
      waiting: row.waiting,
      landed: row.landed,
      dead: row.dead,
      lost: row.lost,
      balanced: row.balanced,
    })),
    processes: status.processes.map(({ id, roles, host, version, startedAtMs }) => ({
      ...{ id, roles, host, version, started_at: formatRfc3339(startedAtMs * 1000) },
    })),
    subscribers: status.subscribers,
    workers: status.workers,
  }
}

function groupJson(group: GroupStatus): object {
  return {
    name: group.name,
    types: group.types,
    waiting: group.waiting,
    ready: group.ready,
    scheduled: group.scheduled,
    held: group.held,
    in_flight: group.inFlight,
    skipped: group.skipped,
    oldest_waiting_seconds: group.oldestWaitingSeconds,
    state: groupStateJson(group.state),
  }
}

export function listedGroupJson(group: ListedGroup): object {
  const { topic, ratePerSecond, options } = group
  return { topic, ...groupJson(group), rate: ratePerSecond, options: options && optionsJson(options) }
}

export function historyJson({ landingP50Seconds, landingP99Seconds, ...same }: StatusHistory): object {
  return { ...same, landing_p50_seconds: landingP50Seconds, landing_p99_seconds: landingP99Seconds }
}

function optionsJson(options: GroupOptions): object {
  return {
    ordered: options.ordered,
    timeout_ms: options.timeoutMs,
    max_attempts: options.maxAttempts,
    initial_delay_ms: options.initialDelayMs,
    max_delay_ms: options.maxDelayMs,
    on_exhausted: options.onExhausted,
    group_concurrency: options.groupConcurrency,
    rate_per_second: options.ratePerSecond,
    limit_per_key: options.limitPerKey,
  }
}

/** `since` is RFC 3339. */
export function groupStateJson({ is, by, reason, sinceMs }: GroupState): object {
  return { is, by, reason, since: sinceMs === null ? null : formatRfc3339(sinceMs * 1000) }
}
