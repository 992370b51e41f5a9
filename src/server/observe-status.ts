// Copies the status into metrics and health, so that all three agree.

import { statfs } from 'node:fs/promises'
import type { Config } from '../config/config.ts'
import { durabilityText } from '../event/durability.ts'
import type { LogHealth } from '../event-log/event-log.ts'
import { landingGroup } from '../landing/landing.ts'
import type { GroupName } from '../pipeline/administration.ts'
import type { Cause } from '../pipeline/readiness.ts'
import type { Health } from '../telemetry/health.ts'
import type { Gauge } from '../telemetry/metric-family.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Pool } from '../workers/pool.ts'
import type { Core } from './core.ts'

export interface ObservedParts {
  readonly core: Core
  readonly pools: readonly Pool[]
  readonly metrics: Metrics
  readonly health: Health
  readonly config: Config
  readonly version: string
  readonly logHealth: () => LogHealth
}

/** Registers the callbacks that update the metrics at each scrape. */
export function observeStatus({ core, pools, metrics, health, config, version, logHealth }: ObservedParts): void {
  metrics.buildInfo.set(1, { version, node: process.version })
  const level = durabilityText(config.durability)
  const seen = new Set<string>()
  let causesBefore: readonly Cause[] = []
  metrics.onScrape(() => {
    const { persistence, isUnverified } = logHealth()
    seen.add(persistence)
    for (const each of seen) metrics.logDurability.set(each === persistence ? 1 : 0, { level, persistence: each })
    metrics.durabilityUnverified.set(isUnverified ? 1 : 0)
    const { components, causes } = health.readiness()
    for (const { name, state } of components) metrics.componentUp.set(state === 'up' ? 1 : 0, { component: name })
    for (const { component, reason } of causesBefore) metrics.degraded.set(0, { component, reason })
    for (const { component, reason } of causes) metrics.degraded.set(1, { component, reason })
    causesBefore = causes
    metrics.landingPaused.set(pools.some(({ group, state }) => group === landingGroup && state.is === 'outage') ? 1 : 0)
  })
  if (config.redisUrl === null) {
    metrics.onScrape(async () => {
      const { bavail, bsize } = await statfs(config.dataDir)
      metrics.diskFreeBytes.set(bavail * bsize)
    })
  }
  let shown = new Map<string, GroupName>()
  metrics.onScrape(async () => {
    const { topics, ledger } = await core.status()
    const found = topics.flatMap(({ name: topic, groups }) => groups.map(({ name: group }) => ({ topic, group })))
    const present = new Map(found.map((group) => [JSON.stringify(group), group]))
    for (const [key, group] of shown) if (!present.has(key)) forgetGroup(metrics, group)
    shown = present
    for (const { name: topic, groups } of topics) {
      for (const { name: group, waiting, ready, scheduled, inFlight, skipped } of groups) {
        show(metrics.logWaiting, waiting, { topic, group })
        show(metrics.logReady, ready, { topic, group })
        show(metrics.logScheduled, scheduled, { topic, group })
        show(metrics.logInFlight, inFlight, { topic, group })
        if (skipped !== null) metrics.logLedger.set(skipped, { topic, group, term: 'skipped' })
      }
    }
    for (const { topic, group, balanced, ...terms } of ledger) {
      if (balanced !== null) metrics.ledgerBalanced.set(balanced ? 1 : 0, { topic, group })
      for (const term of ['accepted', 'reopened', 'landed', 'dead', 'lost'] as const) {
        const total = terms[term]
        if (total !== null) metrics.logLedger.set(total, { topic, group, term })
      }
    }
  })
}

/** Sets the gauge of a group; while the value is not known, the group has none. */
function show(gauge: Gauge<'topic' | 'group'>, value: number | null, group: GroupName): void {
  if (value === null) gauge.forget(group)
  else gauge.set(value, group)
}

/** Removes the series of a deleted group: an alarm on its waiting events would never end. */
function forgetGroup(
  { logWaiting, logReady, logScheduled, logInFlight, logLedger, ledgerBalanced }: Metrics,
  { topic, group }: GroupName,
): void {
  for (const metric of [logWaiting, logReady, logScheduled, logInFlight, logLedger, ledgerBalanced])
    metric.forget({ topic, group })
}
