// `millrace doctor`: checks what could keep a server from running, including Redis and PostgreSQL, and repairs a damaged log.
//
// It reads the data files only while no server has them open: a running server checks them itself, at every read.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { compareLog } from '../admin/compare-log.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { durabilityText } from '../event/durability.ts'
import type { EventLog, GroupDescription } from '../event-log/event-log.ts'
import {
  inspectEventLog,
  inspectSharedLog,
  type LogFinding,
  type LogInspection,
  type LogRepair,
  openEventLog,
  repairEventLog,
} from '../event-log/open-event-log.ts'
import { landingGroup } from '../landing/landing.ts'
import { SqliteFailure } from '../lib/sqlite/failure.ts'
import type { EventStore } from '../store/event-store.ts'
import { openStore } from '../store/open-store.ts'
import type { CommandInput } from './command.ts'
import {
  checkDisk,
  checkOpenFiles,
  checkPorts,
  checkTls,
  checkVersions,
  type Finding,
  formatBytes,
} from './doctor-checks.ts'
import { exitCodes } from './exit-codes.ts'
import { formatCount, formatCountOf, formatTable } from './table.ts'
import type { Terminal } from './terminal.ts'

type SharedConfig = Config & { readonly redisUrl: string }

export async function run({ configInput, options, terminal }: CommandInput): Promise<number> {
  const config = loadConfig(configInput)
  const { redisUrl } = config
  if (redisUrl !== null) return await runShared({ ...config, redisUrl }, options, terminal)
  const repair = options.repair === true ? repairEventLog(config) : null
  const findings = [
    ...checkVersions(),
    checkOpenFiles(),
    checkDisk(config),
    ...(await checkTls(config, Date.now())),
    ...(await checkData(config, options.audit === true)),
  ]
  print(findings, repair, terminal)
  if (options.repair === true && repair === null) terminal.note('nothing to repair in the log')
  return exitCodeOf(findings)
}

/** With the log on Redis there are no data files to check. */
async function runShared(config: SharedConfig, options: CommandInput['options'], terminal: Terminal): Promise<number> {
  if (options.repair === true)
    throw new MillraceError(
      'failed_precondition',
      '--repair works on the embedded log only, and MILLRACE_REDIS_URL puts the log on Redis; leave out --repair',
    )
  const services = await Promise.all([checkRedis(config), checkPostgres(config)])
  const findings = [
    ...checkVersions(),
    checkOpenFiles(),
    ...(await checkTls(config, Date.now())),
    ...services.flat(),
    ...(options.audit === true ? await audit(config) : []),
    ...(await checkPorts(config)),
  ]
  print(findings, null, terminal)
  return exitCodeOf(findings)
}

function exitCodeOf(findings: readonly Finding[]): number {
  if (findings.some(({ state }) => state === 'damaged')) return exitCodes.damaged
  return findings.some(({ state }) => state === 'problem') ? exitCodes.failed : exitCodes.done
}

async function checkRedis(config: SharedConfig): Promise<Finding[]> {
  const subject = 'redis'
  try {
    const { servers, persistence, problem, warnings } = await inspectSharedLog(config)
    const promised = `durability of accepted events: ${durabilityText(config.durability)}`
    const found: Finding =
      problem === null
        ? { subject, state: 'ok', message: `${servers.join(', ')}: ${persistence}, ${promised}` }
        : { subject, state: 'problem', message: problem }
    return [found, ...warnings.map((message): Finding => ({ subject, state: 'warning', message }))]
  } catch (error) {
    return [findingOfError(subject, error)]
  }
}

async function checkData(config: Config, isAudit: boolean): Promise<Finding[]> {
  let inspection: LogInspection
  try {
    inspection = inspectEventLog(config)
  } catch (error) {
    return [findingOfError('log', error)]
  }
  if (inspection.inUseBy !== null) {
    const message = `${inspection.inUseBy} runs on ${config.dataDir}; stop it to check its data files`
    const store = config.postgresUrl === null ? [] : await checkPostgres(config)
    return [{ subject: 'server', state: 'ok', message }, ...store]
  }
  const log = describeLog(inspection)
  // The store is compared with the log, and a damaged log must not be opened.
  const isDamaged = log.some(({ state }) => state === 'damaged')
  const store = isDamaged ? [] : await checkStore(config, inspection)
  const audited = isAudit && !isDamaged && inspection.counts !== null ? await audit(config) : []
  return [...log, ...store, ...audited, ...(await checkPorts(config))]
}

function describeLog({ findings, counts }: LogInspection): Finding[] {
  if (findings.length > 0) return findings.map(describeLogFinding)
  if (counts === null) return [{ subject: 'log', state: 'ok', message: 'does not exist yet' }]
  const { entries, events, bytes } = counts
  const message = `${formatCountOf(events, 'event')} in ${formatEntries(entries)} (${formatBytes(bytes)}), no damage`
  return [{ subject: 'log', state: 'ok', message }]
}

function describeLogFinding({ file, expected, found, fix, needsRepair }: LogFinding): Finding {
  const message = `${file}: expected ${expected}, found ${found}; ${fix}`
  return { subject: 'log', state: needsRepair ? 'damaged' : 'problem', message }
}

/** Opens the store as `millrace start` does; that detects damage. */
async function checkStore(config: Config, { counts }: LogInspection): Promise<Finding[]> {
  if (config.postgresUrl !== null) return checkPostgres(config, counts !== null)
  const path = join(config.dataDir, 'store.db')
  try {
    if (!existsSync(path) && !existsSync(`${path}-wal`)) {
      const landed = counts === null ? 0 : await landedEvents(config)
      if (landed === 0) return [{ subject: 'store', state: 'ok', message: 'does not exist yet' }]
      const message = `${path} is missing, and ${formatCountOf(landed, 'event')} landed in it; restore it from a backup, or start empty with "millrace clean"`
      return [{ subject: 'store', state: 'damaged', message }]
    }
    const store = await openStore(config, { mayCreate: false })
    const differences = counts === null ? [] : await compareWithLog(config, store)
    await store.close()
    return [{ subject: 'store', state: 'ok', message: `${path} opens without errors` }, ...differences]
  } catch (error) {
    return [findingOfError('store', error)]
  }
}

async function checkPostgres(config: Config, hasLog = false): Promise<Finding[]> {
  const subject = 'store'
  try {
    const store = await openStore(config)
    const { up, problem, warnings } = await store.describe()
    const differences = up && problem === null && hasLog ? await compareWithLog(config, store) : []
    await store.close()
    const advice = up ? '' : '; start PostgreSQL, or correct MILLRACE_POSTGRES_URL'
    const found: Finding =
      problem === null
        ? { subject, state: 'ok', message: 'postgres answers, and its tables have the current version' }
        : { subject, state: 'problem', message: `${problem}${advice}` }
    return [found, ...warnings.map((message): Finding => ({ subject, state: 'warning', message })), ...differences]
  } catch (error) {
    return [findingOfError(subject, error)]
  }
}

/** Counts what waits for the paused groups. */
async function audit(config: Config): Promise<Finding[]> {
  try {
    const { topics } = await withLog(config, (eventLog) => eventLog.describe({ auditsPaused: true }))
    return topics.flatMap(({ name, groups }) => groups.map((group) => findingOfAudit(name, group)))
  } catch (error) {
    return [findingOfError('audit', error)]
  }
}

function findingOfAudit(topic: string, { name, flow, waiting, auditedWaiting }: GroupDescription): Finding {
  const subject = 'audit'
  const group = `group ${name} of topic ${topic}`
  if (flow === null || !('paused' in flow)) {
    const message = `${group} is not paused: "millrace groups pause ${name} --topic ${topic}" makes it countable`
    return { subject, state: 'warning', message }
  }
  const counted = `${group}: ${formatCountOf(auditedWaiting, 'event')} found waiting`
  if (auditedWaiting === waiting) return { subject, state: 'ok', message: `${counted}, as its counters say` }
  return { subject, state: 'problem', message: `${counted}, but its counters say ${formatCount(waiting)}` }
}

async function compareWithLog(config: Config, store: EventStore): Promise<Finding[]> {
  const warnings = await withLog(config, (eventLog) => compareLog({ eventLog, store, group: landingGroup }))
  return warnings.map((message) => ({ subject: 'store', state: 'warning', message }))
}

function landedEvents(config: Config): Promise<number> {
  return withLog(config, async (eventLog) => {
    const { topics } = await eventLog.describe()
    const landings = topics.flatMap(({ groups }) => groups.filter(({ name }) => name === landingGroup))
    return landings.reduce((sum, { landed }) => sum + landed, 0)
  })
}

async function withLog<T>(config: Config, work: (eventLog: EventLog) => Promise<T>): Promise<T> {
  const eventLog = await openEventLog(config, { logger: { info: () => {}, warn: () => {} }, now: Date.now })
  try {
    return await work(eventLog)
  } finally {
    await eventLog.close()
  }
}

function findingOfError(subject: string, error: unknown): Finding {
  if (!(error instanceof MillraceError || error instanceof SqliteFailure)) throw error
  const isDamage = error instanceof MillraceError && error.code === 'corrupt'
  return { subject, state: isDamage ? 'damaged' : 'problem', message: error.message }
}

const styles = { ok: 'green', warning: 'yellow', problem: 'red', damaged: 'red' } as const

function print(findings: readonly Finding[], repair: LogRepair | null, terminal: Terminal): void {
  if (terminal.json) {
    terminal.printJson({ findings, repair: repair === null ? null : repairJson(repair) })
    return
  }
  const rows = findings.map(({ subject, state, message }) => [terminal.paint(styles[state], state), subject, message])
  if (repair !== null) terminal.print(`${describeRepair(repair)}\n`)
  terminal.print(formatTable(['STATE', 'WHAT', 'FOUND'], rows, terminal))
}

function repairJson(repair: LogRepair): object {
  return {
    entries: repair.entries,
    events: repair.events,
    damaged_entries: repair.damagedEntries,
    lost_events: repair.lostEvents,
    lost_entries: repair.lostEntries,
    epoch: repair.epoch,
    kept_as: repair.keptAs,
  }
}

function formatEntries(count: number): string {
  return formatCountOf(count, 'entry', 'entries')
}

function describeLoss(events: number, entries: number | null): string {
  if (entries === null)
    return 'unknown, because neither the counters of the log nor log.mark could be read; examine the old file'
  const atTheEnd = `, and ${formatEntries(entries)} at the end with an unknown number of events`
  return `${formatCountOf(events, 'event')}${entries === 0 ? '' : atTheEnd}`
}

function describeRepair({
  entries,
  events,
  damagedEntries,
  lostEvents,
  lostEntries,
  epoch,
  keptAs,
}: LogRepair): string {
  return [
    `The log was repaired; epoch ${epoch} begins.`,
    `  kept: ${formatCountOf(events, 'event')} in ${formatEntries(entries)}, ${formatCount(damagedEntries)} of them damaged`,
    `  lost: ${describeLoss(lostEvents, lostEntries)}`,
    `  old file: ${keptAs ?? 'none'}`,
  ].join('\n')
}
