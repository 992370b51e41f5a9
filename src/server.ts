// The composition root: makes every part, in start order, and closes them in reverse.
//
// Job: know every concrete class, so that nothing else has to. It holds no rule of its own.
// Not its job: signals, exit codes and what is printed (cli/start.ts).

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GroupName } from './administration.ts'
import { startApi } from './api/start-api.ts'
import type { Config } from './config.ts'
import { Core } from './core.ts'
import { MillraceError } from './errors.ts'
import { durabilityOf, type EventLog, type LogHealth } from './event-log/event-log.ts'
import { openEventLog } from './event-log/open-event-log.ts'
import { Retention } from './event-log/retention.ts'
import { Ingest } from './ingest/ingest.ts'
import { createDeadLetterLanding } from './landing/land-dead-letters.ts'
import { createLanding, landingGroup } from './landing/landing.ts'
import { withinMs } from './lib/abort.ts'
import { observeStatus } from './observe-status.ts'
import type { EventStore } from './store/event-store.ts'
import { openStore } from './store/open-store.ts'
import { Health } from './telemetry/health.ts'
import { createLogger, type Logger, type ServerLogger } from './telemetry/logger.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import { DeadLetters, deadLetterGroup, deadLetterTopic } from './workers/dead-letters.ts'
import { WorkerPool } from './workers/worker-pool.ts'

/** Three turns: one in the database, one on its way back to the log, one being gathered. */
const landingTurns = 3

/** Each may be an event of 1 MiB, and they are stored one by one. */
const deadLetterTurnEvents = 100

export interface ServerOptions {
  readonly version: string
  /** Default: JSON lines on stderr. */
  readonly logger?: ServerLogger
  /** Other ways to open the two data files, for those who embed the server with drivers of their own. */
  readonly openEventLog?: typeof openEventLog
  readonly openStore?: typeof openStore
  /** The wall clock, in milliseconds since 1970. */
  readonly now?: () => number
}

/** `host:port`, as really bound. Without the role `ingest` there is no gRPC. */
export interface Addresses {
  readonly http: string
  readonly grpc: string | null
}

export interface RunningServer {
  readonly addresses: Addresses
  /** Resolves with the reason when the server cannot go on: nothing is acknowledged any more, the process should end. */
  readonly failed: Promise<Error>
  /**
   * Stops: not ready at once, nothing new is taken, what runs is finished within the drain time, the rest stays in the log.
   * Idempotent.
   */
  close(): Promise<void>
}

/** What is left of the time to stop in, in milliseconds. */
type Remaining = () => number

/** Closes what was opened so far, the latest first. All steps share one deadline. */
class Closers {
  readonly #steps: ((remainingMs: Remaining) => Promise<void>)[] = []

  add(step: (remainingMs: Remaining) => Promise<void>): void {
    this.#steps.unshift(step)
  }

  async run(logger: Logger, graceMs: number): Promise<void> {
    const deadlineMs = performance.now() + graceMs
    const remainingMs = () => Math.max(0, deadlineMs - performance.now())
    for (const step of this.#steps.splice(0)) {
      await step(remainingMs).catch((error: unknown) =>
        logger.error({ error }, 'a part of the server could not be closed'),
      )
    }
  }
}

/**
 * Starts a server and resolves once it takes calls.
 * Errors: MillraceError whose message says what to do: `failed_precondition` (the data directory is in use or of a newer
 * version, a port is taken), `corrupt` (the data directory is damaged), `unavailable` (it cannot be written).
 */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  const logger = options.logger ?? createLogger({ level: config.logLevel, version: options.version })
  const now = options.now ?? Date.now
  const monotonicNow = () => performance.now()
  const closers = new Closers()
  try {
    const metrics = createMetrics({ topics: config.topics.map(({ name }) => name), groups: [landingGroup] })
    closers.add(async () => metrics.close())
    metrics.onScrape(() => metrics.logLinesLost.set(logger.linesLost))
    const health = new Health(['log'])

    let logHealth: LogHealth = { problem: 'it is being opened', persistence: 'unknown', isUnverified: false }
    // The log first: where it is embedded, its lock is what makes the data directory ours.
    const eventLog = await (options.openEventLog ?? openEventLog)(config, {
      logger,
      now,
      onCommit: countCommits(metrics),
      onReset: () => metrics.logReset.add(1),
      onHealth: (found) => {
        logHealth = found
        health.setComponent('log', found.problem === null, found.problem)
      },
    })
    closers.add(() => eventLog.close())
    const mayCreate = !(await hasLanded(eventLog))
    const store = await (options.openStore ?? openStore)(config, {
      mayCreate,
      onUnlistedSqlstate: alarmOf(metrics, logger),
    })
    closers.add(() => store.close())
    const { driver: storeDriver, up, problem } = await store.describe()
    health.setComponent('store', up, problem)
    if (!up) logger.warn({ store: storeDriver, problem }, `${problem}: events are taken, and land once it is there`)
    await declareTopics(eventLog, config)

    const ingest = config.roles.includes('ingest')
      ? new Ingest({
          eventLog,
          durability: durabilityOf(config.durability),
          topics: config.topics,
          maxWaiting: { maxEvents: config.maxWaitingEvents, maxBytes: config.maxWaitingBytes },
          metrics,
          now,
          monotonicNow,
        })
      : null
    const pools = config.roles.includes('worker') ? landingPools(config, { eventLog, store, metrics, logger, now }) : []
    for (const pool of pools) await pool.start()
    closers.add(async (remainingMs) => {
      await Promise.all(pools.map((pool) => pool.close(remainingMs())))
    })
    const retention = new Retention({ ...config, eventLog, topics: topicNames(config), logger, now })
    closers.add(() => retention.close())

    const common = { version: options.version, pools, metrics, logHealth: () => logHealth }
    const core = new Core({
      ...common,
      eventLog,
      store,
      storeDriver,
      ingest,
      ownGroups: ownGroups(config),
      now,
      monotonicNow,
    })
    observeStatus({ ...common, core, health, config })
    const api = await startApi({ ...config, pipeline: core, health, metrics, logger, version: options.version })
    closers.add(async (remainingMs) => {
      await withinMs(Promise.all([ingest?.drain(), api.drain(remainingMs())]), remainingMs(), null)
    })
    const addresses = { http: api.http, grpc: api.grpc }
    if (api.grpc !== null) {
      await publishAddresses(config, addresses)
      closers.add(() => withdrawAddresses(config, addresses))
    }

    const failed = Promise.race([eventLog.failed, store.failed])
    // When nothing can be acknowledged any more there is nothing to wait for either.
    let graceMs = config.drainMs
    void failed.then((error) => {
      graceMs = 0
      health.setComponent('log', false, error.message)
    })
    let closed: Promise<void> | null = null
    const close = () => {
      health.startDraining()
      closed ??= closers.run(logger, graceMs)
      return closed
    }
    return { addresses, failed, close }
  } catch (error) {
    await closers.run(logger, config.drainMs)
    throw error
  }
}

/** Where client commands find the addresses of a server that runs on this data directory. */
function addressesPath(config: Config): string {
  return join(config.dataDir, 'addresses.json')
}

/** Renamed into place, so that nobody ever reads half of it. Of processes that share a directory the latest is found. */
async function publishAddresses(config: Config, addresses: Addresses): Promise<void> {
  try {
    await mkdir(config.dataDir, { recursive: true })
  } catch (thrown) {
    const reason = (thrown as Error).message
    const message = `the data directory ${config.dataDir} cannot be made: ${reason}; set MILLRACE_DATA_DIR to one that can`
    throw new MillraceError('unavailable', message, { cause: thrown, field: 'MILLRACE_DATA_DIR' })
  }
  const unfinished = `${addressesPath(config)}.new`
  await writeFile(unfinished, textOfAddresses(addresses))
  await rename(unfinished, addressesPath(config))
}

/** Only its own: another process may have begun on this directory since. */
async function withdrawAddresses(config: Config, addresses: Addresses): Promise<void> {
  const path = addressesPath(config)
  if ((await readFile(path, 'utf8').catch(() => '')) === textOfAddresses(addresses)) await rm(path, { force: true })
}

function textOfAddresses(addresses: Addresses): string {
  return `${JSON.stringify(addresses)}\n`
}

function topicNames(config: Config): string[] {
  return [...config.topics.map(({ name }) => name), deadLetterTopic]
}

async function declareTopics(eventLog: EventLog, config: Config): Promise<void> {
  for (const topic of config.topics) await declareTopic(eventLog, topic)
  await declareDeadLetters(eventLog)
}

async function declareTopic(eventLog: EventLog, { name, partitions }: Config['topics'][number]): Promise<void> {
  await eventLog.declare(name, { partitions, groups: [{ name: landingGroup }] })
}

async function declareDeadLetters(eventLog: EventLog): Promise<void> {
  await eventLog.declare(deadLetterTopic, { partitions: 1, groups: [{ name: deadLetterGroup }] })
}

/** What `declareTopics` makes at each start. */
function ownGroups(config: Config): GroupName[] {
  const landing = config.topics.map(({ name }) => ({ topic: name, group: landingGroup }))
  return [...landing, { topic: deadLetterTopic, group: deadLetterGroup }]
}

/** Whether rows must be in the store: then a store that is not there is lost, not new. */
async function hasLanded(eventLog: EventLog): Promise<boolean> {
  const { topics } = await eventLog.describe().catch(async (error: unknown) => {
    // Damage that shows only now is the reason to give, not that the log has failed of it.
    throw (await withinMs(eventLog.failed, 0, null)) ?? error
  })
  return topics.some(({ groups }) => groups.some(({ name, landed }) => name === landingGroup && landed > 0))
}

interface LandingParts {
  readonly eventLog: EventLog
  readonly store: EventStore
  readonly metrics: Metrics
  readonly logger: Logger
  readonly now: () => number
}

function landingPools(config: Config, { eventLog, store, metrics, logger, now }: LandingParts): WorkerPool[] {
  const monotonicNow = () => performance.now()
  const deadLetters = new DeadLetters({ eventLog, now })
  const shared = { eventLog, leaseMs: config.leaseMs, logger, now, monotonicNow, random: Math.random }
  const handler = createLanding({ store, deadLetters, metrics, monotonicNow })
  const pools = config.topics.map((topic) => {
    return new WorkerPool({
      ...shared,
      topic: topic.name,
      declare: () => declareTopic(eventLog, topic),
      group: landingGroup,
      handler,
      maxTurnEvents: config.landingMaxEvents,
      maxTurnWaitMs: config.landingMaxWaitMs,
      maxTurns: landingTurns,
    })
  })
  const deadPool = new WorkerPool({
    ...shared,
    topic: deadLetterTopic,
    declare: () => declareDeadLetters(eventLog),
    group: deadLetterGroup,
    handler: createDeadLetterLanding(store),
    maxTurnEvents: deadLetterTurnEvents,
    maxTurnWaitMs: config.landingMaxWaitMs,
    maxTurns: 1,
  })
  return [...pools, deadPool]
}

/** Each try counts; the log says it once for each code. */
function alarmOf(metrics: Metrics, logger: Logger) {
  const said = new Set<string>()
  return (sqlstate: string) => {
    metrics.landingUnlistedSqlstate.add(1, { code: sqlstate })
    if (said.has(sqlstate)) return
    said.add(sqlstate)
    const advice = 'when it is about single events, add it to MILLRACE_DEAD_SQLSTATES'
    logger.error(
      { sqlstate },
      `landing_unlisted_sqlstate: postgres says ${sqlstate}, which is tried again for ever; ${advice}`,
    )
  }
}

function countCommits(metrics: Metrics) {
  return (commit: { durationMs: number; entries: number; bytes: number }) => {
    metrics.logCommits.add(1)
    metrics.logCommitDuration.observe(commit.durationMs / 1000)
    metrics.logAppendedEntries.add(commit.entries)
    metrics.logAppendedBytes.add(commit.bytes)
  }
}
