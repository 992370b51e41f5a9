// Reports publishing, landing and handlers to the health: what fails for the producers and the pools of this process.

import type { Ingest } from '../ingest/ingest.ts'
import type { Health, Problem } from '../telemetry/health.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Pool } from '../workers/pool.ts'
import { isLandingGroup } from './assemble-landing.ts'

const everyMs = 1000

export interface WatchedWork {
  readonly health: Health
  readonly logger: Logger
  /** Null when this process accepts no events. */
  readonly ingest: Ingest | null
  readonly pools: readonly Pool[]
}

/** Returns a function that stops it. */
export function watchWork(work: WatchedWork): () => void {
  let failing: Problem | null = null
  const components = new Set<'landing' | 'handlers'>()
  const report = () => {
    reportPools(work, components)
    if (work.ingest === null) return
    const problem = work.ingest.problem
    work.health.report('publishing', problem)
    // Only begin and end: two streams that fail in turn change reason and message all the time.
    if (problem !== null && failing === null) {
      work.logger.warn({ reason: problem.reason }, problem.message)
      failing = problem
    }
    if (problem === null && failing !== null) {
      work.logger.info({ ended: failing.reason }, 'publishes succeed again')
      failing = null
    }
  }
  const timer = setInterval(report, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * The pools write their own log lines. Unready only without any other work: reads and hints must stay reachable.
 * @param components those that were reported: a remote group can go while it has a problem.
 */
function reportPools({ health, ingest, pools }: WatchedWork, components: Set<'landing' | 'handlers'>): void {
  const isIdle = ingest === null && pools.every((pool) => !pool.takesWork)
  const own = Map.groupBy(pools, (pool) => (isLandingGroup(pool) ? 'landing' : 'handlers'))
  for (const component of own.keys()) components.add(component)
  for (const component of components) {
    const problems = (own.get(component) ?? []).flatMap((pool) => pool.problem ?? [])
    const reason = problems[0]?.reason
    const message = problems.map((problem) => problem.message).join('; ')
    health.report(component, reason === undefined ? null : { reason, message }, isIdle)
  }
}
