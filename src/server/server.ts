// The composition root: creates every part, in start order, and closes them in reverse order.
//
// Job: know every concrete class, so that nothing else has to. It has no logic of its own; each capability is assembled
// in an assemble- file beside this one.
// Not its job: signals, exit codes and what is printed (cli/start.ts).

import { ServerCertificate } from '../api/server-certificate.ts'
import { startApi } from '../api/start-api.ts'
import { type Config, needsKeys } from '../config/config.ts'
import { toMillraceError } from '../errors.ts'
import { durabilityOf } from '../event/durability.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import { Retention } from '../event-log/retention.ts'
import { fileAnalysis } from '../handlers/file-analysis.ts'
import { textAnalysis } from '../handlers/text-analysis.ts'
import { Ingest } from '../ingest/ingest.ts'
import { landingGroup } from '../landing/landing.ts'
import { withinMs } from '../lib/abort.ts'
import { Requester } from '../request-reply/requester.ts'
import { tracedRequests } from '../request-reply/traced-requests.ts'
import { openStore } from '../store/open-store.ts'
import { Health } from '../telemetry/health.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { DeliveryTimes } from '../workers/delivery-times.ts'
import type { Pool } from '../workers/pool.ts'
import { publishAddresses, withdrawAddresses } from './addresses.ts'
import { analyzeBy, assembleFiles } from './assemble-files.ts'
import { assembleHandlers, declareHandler, pauseHandlers } from './assemble-handlers.ts'
import { assembleKeys } from './assemble-keys.ts'
import { assembleLanding, declareLanding, landingTopics, ownGroups } from './assemble-landing.ts'
import { assembleLive } from './assemble-live.ts'
import { assembleLog } from './assemble-log.ts'
import { assembleStore } from './assemble-store.ts'
import { assembleTracing } from './assemble-tracing.ts'
import { Closers } from './closers.ts'
import { Core } from './core.ts'
import { checkHandlers, loadHandlers } from './load-handlers.ts'
import { observeStatus } from './observe-status.ts'
import { Processes } from './processes.ts'
import { RemoteGroups } from './remote-groups.ts'
import type { ServerContext } from './server-context.ts'
import type { RunningServer, ServerOptions } from './server-options.ts'
import { watchWork } from './work-watch.ts'

/** What is left of the drain time when uploads that still run are told to end. */
const uploadEndMs = 1000

/** Starts a server that has a log. Errors: as startServer. */
export async function startCore(config: Config, options: ServerOptions): Promise<RunningServer> {
  const { version, logger = createLogger({ level: config.logLevel, version }), now = Date.now } = options
  const closers = new Closers()
  try {
    const certificate = await ServerCertificate.open({ config, logger, now })
    closers.add(async () => certificate?.close())
    const analysis = fileAnalysis((fileId, text) => store.setAnalysis(fileId, text))
    const builtIn = [textAnalysis, analysis]
    const handlers = [
      ...(config.roles.includes('worker') ? builtIn : []),
      ...(options.handlers ?? []),
      ...(await loadHandlers(config.handlers)),
    ]
    checkHandlers(handlers, config.topics)
    const metrics = createMetrics({ topics: config.topics.map(({ name }) => name), groups: [landingGroup] })
    closers.add(async () => metrics.close())
    metrics.onScrape(() => metrics.logLinesLost.set(logger.linesLost))
    const health = new Health(['log'])
    const monotonicNow = () => performance.now()
    const tracer = await assembleTracing(config, version, logger, closers)
    const context: ServerContext = { config, version, logger, metrics, tracer, health, now, monotonicNow }

    // The log is opened first: the lock of an embedded log reserves the data directory for this process.
    const { eventLog, logHealth } = await assembleLog(context, options.openEventLog ?? openEventLog)
    if (config.redisUrl === null) closers.add(() => eventLog.close())
    else closers.addBounded(() => eventLog.close())
    const { store, storeDriver, storeWatch } = await assembleStore(context, eventLog, options.openStore ?? openStore)
    closers.add((remainingMs) => store.close(remainingMs()))
    closers.add(() => storeWatch.close())
    const { keys, close: closeKeys } = await assembleKeys(context, store, options.onFirstKey ?? (() => {}))
    closers.addBounded(() => closeKeys())

    const { fileStore, uploads } = await assembleFiles(
      context,
      store,
      analyzeBy(() => requests),
    )
    closers.add(() => fileStore.close())

    const topics = landingTopics(config.topics)
    for (const topic of topics) await declareLanding(eventLog, topic)
    // Those that are built in by every process: a worker then starts also when the log is full.
    for (const handler of new Set([...builtIn, ...handlers])) await declareHandler(eventLog, handler, config.topics)
    if (options.startsPaused === true) await pauseHandlers(eventLog, logger)
    const deliveryTimes = new DeliveryTimes(now)
    const poolOf = assembleHandlers(context, eventLog, deliveryTimes)
    /** Those of remote groups come and go. */
    const pools: Pool[] = config.roles.includes('worker')
      ? [...assembleLanding(context, { eventLog, store, topics }), ...handlers.map((handler) => poolOf(handler))]
      : []
    // First, so that pools that have started are closed when another one fails to.
    closers.addBounded((remainingMs) => Promise.all(pools.map((pool) => pool.close(remainingMs()))))
    for (const pool of pools) await pool.start()
    /** Also those of remote groups, after these have gone. */
    const toTrim = new Set<string>()
    const topicsToTrim = () => {
      for (const { topic } of [...topics, ...pools]) toTrim.add(topic)
      return toTrim
    }
    const retention = new Retention({ ...config, eventLog, topics: topicsToTrim, logger, now })
    closers.addBounded(() => retention.close())

    const processes = new Processes({ ...context, eventLog })
    closers.addBounded(() => processes.close())
    const maxWaiting = { maxEvents: config.maxWaitingEvents, maxBytes: config.maxWaitingBytes }
    const ingest = config.roles.includes('ingest')
      ? new Ingest({
          ...context,
          eventLog,
          durability: durabilityOf(config.durability),
          topics: config.topics,
          maxWaiting,
        })
      : null
    const live = ingest === null ? null : assembleLive(context, eventLog)
    closers.add(async () => live?.close())
    const remoteGroups = ingest === null ? null : new RemoteGroups({ ...context, eventLog, handlers, pools, poolOf })
    const { replyTtlMs } = config
    const requester = ingest === null ? null : new Requester({ ...context, eventLog, maxWaiting, replyTtlMs })
    const requests = requester === null ? null : tracedRequests(tracer, requester)
    const parts = { ...context, eventLog, store, storeDriver, isStoreUp: () => storeWatch.isUp, pools, logHealth }
    const core = new Core({
      ...parts,
      ingest,
      requests,
      live,
      remoteGroups,
      deliveryTimes,
      files: uploads,
      keys,
      agentOfflineMs: config.agentOfflineMs,
      processes: () => processes.list(),
      ownGroups: [...ownGroups(topics), ...handlers],
    })
    closers.add(async () => core.close())
    const stopWatching = watchWork({ ...parts, ingest })
    closers.add(async () => stopWatching())
    observeStatus({ ...parts, core })
    const api = await startApi({
      ...config,
      needsKeys: needsKeys(config),
      pipeline: core,
      health,
      metrics,
      logger,
      version,
      certificate,
    })
    closers.add(async (remainingMs) => {
      // Workers send what they have done until their groups are closed; then their streams end.
      const drained = [
        ingest?.drain(),
        uploads.drain(remainingMs() - uploadEndMs),
        requester?.drain(remainingMs()),
        remoteGroups?.close(remainingMs()),
        // Before the calls of subscribers are ended: each still gets what waits for it.
        live?.drain(remainingMs()),
        api.drain(remainingMs()),
      ]
      await withinMs(Promise.all(drained), remainingMs(), null)
    })
    const addresses = { http: api.http, grpc: api.grpc, ...(certificate === null ? {} : { tls: true as const }) }
    if (api.grpc !== null) {
      await publishAddresses(config.dataDir, addresses)
      closers.add(() => withdrawAddresses(config.dataDir, addresses))
    }

    const failed = Promise.race([eventLog.failed, store.failed])
    // After a failure nothing can be acknowledged any more, so closing does not wait.
    let graceMs = config.drainMs
    void failed.then((error) => {
      graceMs = 0
      health.report('log', { reason: toMillraceError(error).code, message: error.message }, true)
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
