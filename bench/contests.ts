// The measurements: for each contest its blocks, the ratios between them, and the targets.
//
// All blocks of a contest run once per round, so that a temporary slowdown of the machine affects all of them.

import type { DurabilityLabel } from './block.ts'
import type { Sizes } from './sizes.ts'

/** One program with one set of options. */
export interface Block {
  readonly name: string
  /** Path in `bench/`, without `.ts`. */
  readonly program: string
  readonly options: Readonly<Record<string, unknown>>
}

/** The rate of one block divided by that of another. The target refers to events per second. */
export interface Comparison {
  readonly id: string
  readonly measure: string
  readonly product: string
  readonly floor: string
  /** Null: reported without a target. */
  readonly atLeast: number | null
}

/** A detail of a block, or how far it exceeds that of another block, that must stay under a bound. */
export interface Bound {
  readonly id: string
  readonly measure: string
  readonly block: string
  /** A name in the block's details. */
  readonly detail: string
  readonly below: number
  readonly unit: string
  /** A block of the same contest whose detail is subtracted, round by round. */
  readonly above?: string
}

export interface Contest {
  readonly id: WorkloadId
  readonly rounds: number
  readonly blocks: readonly Block[]
  readonly comparisons: readonly Comparison[]
  readonly bounds: readonly Bound[]
}

export const workloadIds = ['W1', 'W2', 'W4', 'W5', 'W6', 'W7', 'W8', 'W9'] as const
export type WorkloadId = (typeof workloadIds)[number]

export const durabilityLabels: Readonly<Record<DurabilityLabel, string>> = {
  none: 'nothing is stored',
  everysec: 'in Redis, whose append-only file is flushed about once a second',
  disk: 'flushed; one flush serves many events',
}

const roundTripMs = 50
const overloadFactor = 10
const goodputFactor = 3
const awayEventsPerSecond = 3000
const requestBytes = 64
const requestsInFlight = 64
const daySeconds = 86_400
const largePayloadBytes = 1_000_000
const slowJobMs = 200
const remoteConcurrency = 100
/** 90 healthy and 10 stuck, at a rate that leaves half of the machine. */
const feed = { healthy: 90, stuck: 10, eventsPerSecond: 500 }
/** The tightest one of a handler that does nothing, and all of them. */
const limits = [
  { name: 'groupConcurrency', limits: { groupConcurrency: 10 } },
  { name: 'three limits', limits: { groupConcurrency: 10, ratePerSecond: 50_000, limitPerKey: 10 } },
]
/** A server takes 1,000 connections from one address, those of the benchmark included. */
const workersPerConnection = [2, 50]
/** Distribution of a full table's rows over time: over how long they arrived, and the age of the newest one. */
const spreads = [
  { name: 'over an hour', spreadSeconds: 3600, ageSeconds: 0 },
  { name: 'over a second', spreadSeconds: 1, ageSeconds: 0 },
  { name: '30 days ago', spreadSeconds: 3600, ageSeconds: 30 * daySeconds },
]
const stores = ['sqlite', 'postgres'] as const
const bullmqConcurrencies = [8, 32, 100]
const policies = ['reject', 'wait', 'drop'] as const

export function contests(sizes: Sizes, payloadBytes: number): Contest[] {
  const { rounds, warmSeconds, blockSeconds: seconds, inMemorySeconds } = sizes
  const timed = { payloadBytes, warmSeconds, seconds }
  const inMemory = { payloadBytes, warmSeconds: inMemorySeconds / 2, seconds: inMemorySeconds }
  const stream = { method: 'PublishStream', producers: 1, eventsPerMessage: 100, ...timed }
  const single = { ...stream, eventsPerMessage: 1 }
  const unaryCalls = { ...stream, method: 'Publish', eventsPerMessage: 10 }
  const inserts: Block = {
    name: 'SQLite inserts (F7)',
    program: 'floors/sqlite-inserts',
    options: { ...timed, rowsPerStatement: 1 },
  }
  const copy: Block = {
    name: 'COPY from a file (F6)',
    program: 'floors/postgres-copy',
    options: { events: sizes.backlogEvents, payloadBytes },
  }
  const groupedInserts: Block = {
    name: 'SQLite inserts, 16 a time',
    program: 'floors/sqlite-inserts',
    options: { ...timed, rowsPerStatement: 16 },
  }
  const handlers = (name: string, log: 'embedded' | 'redis', concurrency: number, more = {}): Block => ({
    name,
    program: 'workloads/handlers',
    options: {
      ...{
        log,
        events: sizes.handledEvents,
        payloadBytes,
        concurrency,
        batchEvents: 1,
        isRemote: false,
        limits: {},
        keys: 0,
      },
      ...more,
    },
  })
  const backlog = {
    ...{ events: sizes.backlogEvents, eventsPerMessage: 100, payloadBytes },
    ...{ duplicateEvery: 0, hasRandomIds: false },
  }
  const requests = { requestBytes, inFlight: requestsInFlight, warmSeconds, seconds }
  const unary: Block = { name: 'bare grpc-js unary (F2)', program: 'floors/grpc-unary', options: requests }
  const requestBlocks = (['embedded', 'redis'] as const).map(
    (log): Block => ({
      name: `requests, ${log}`,
      program: 'workloads/requests',
      options: { log, ...requests },
    }),
  )
  const upload = { bytes: sizes.uploadBytes }
  const uploadBlocks = (['grpc', 'multipart'] as const).map(
    (protocol): Block => ({
      name: `upload, ${protocol}`,
      program: 'workloads/upload',
      options: { protocol, ...upload },
    }),
  )
  return [
    {
      id: 'W1',
      rounds,
      blocks: [
        { name: 'bare grpc-js, 100 (F1)', program: 'floors/grpc-stream', options: stream },
        { name: 'ingest, 100', program: 'workloads/ingest', options: stream },
        { name: 'ingest, 100, key', program: 'workloads/ingest', options: { ...stream, withKey: true } },
        { name: 'Produce, 100', program: 'workloads/ingest', options: { ...stream, method: 'Produce' } },
        { name: 'ingest, 100, 50 ms', program: 'workloads/ingest', options: { ...stream, roundTripMs } },
        { name: 'publisher', program: 'workloads/publisher', options: timed },
        { name: 'NDJSON', program: 'workloads/ingest-ndjson', options: { ...timed, isBehindGateway: false } },
        { name: 'NDJSON, gateway', program: 'workloads/ingest-ndjson', options: { ...timed, isBehindGateway: true } },
        { name: 'SQLite log, 100 (F5)', program: 'floors/sqlite-log', options: { ...timed, eventsPerMessage: 100 } },
        { name: 'bare grpc-js, 1 (F1)', program: 'floors/grpc-stream', options: single },
        { name: 'ingest, 1', program: 'workloads/ingest', options: single },
        { name: 'unary, 10', program: 'workloads/ingest', options: unaryCalls },
        { name: 'unary, 10, key', program: 'workloads/ingest', options: { ...unaryCalls, withKey: true } },
        {
          name: 'JSON.parse (F9)',
          program: 'floors/scan',
          options: { check: 'JSON.parse', eventsPerMessage: 100, ...inMemory },
        },
        {
          name: 'our scan (F9)',
          program: 'floors/scan',
          options: { check: 'scan', eventsPerMessage: 100, ...inMemory },
        },
      ],
      comparisons: [
        ratio('T3', 'ingest, 100 per message / bare grpc-js', 'ingest, 100', 'bare grpc-js, 100 (F1)', 0.6),
        ratio('T4', 'ingest, 1 per message / bare grpc-js', 'ingest, 1', 'bare grpc-js, 1 (F1)', 0.6),
        ratio('T11', 'ingest over 50 ms / on loopback', 'ingest, 100, 50 ms', 'ingest, 100', 0.5),
        ratio('', 'a stream with a key / without', 'ingest, 100, key', 'ingest, 100', null),
        ratio('', 'unary calls with a key / without', 'unary, 10, key', 'unary, 10', null),
        ratio('', 'Produce / bare grpc-js', 'Produce, 100', 'bare grpc-js, 100 (F1)', null),
        ratio('', 'ingest of NDJSON over HTTP / over gRPC', 'NDJSON', 'ingest, 100', 0.5),
        ratio('', 'ingest of NDJSON through a gateway / without', 'NDJSON, gateway', 'NDJSON', 0.6),
        ratio('', 'our publisher / bare grpc-js', 'publisher', 'bare grpc-js, 100 (F1)', null),
        ratio('', 'ingest / SQLite as a log', 'ingest, 100', 'SQLite log, 100 (F5)', null),
        ratio('', 'scan with all checks / JSON.parse', 'our scan (F9)', 'JSON.parse (F9)', null),
      ],
      bounds: [
        {
          id: '',
          measure: 'memory of a gateway while it passes on NDJSON',
          block: 'NDJSON, gateway',
          detail: 'gatewayMebibytes',
          below: 150,
          unit: 'MiB',
        },
      ],
    },
    {
      id: 'W2',
      rounds,
      blocks: [inserts, { name: 'full path', program: 'workloads/full-path', options: stream }],
      comparisons: [ratio('T2', 'full path / SQLite inserts', 'full path', inserts.name, 0.35)],
      bounds: [],
    },
    {
      id: 'W2',
      rounds,
      blocks: [
        copy,
        { name: 'full path, Redis', program: 'workloads/full-path-redis', options: { ...stream, flush: 'everysec' } },
        {
          name: 'full path, Redis, disk',
          program: 'workloads/full-path-redis',
          options: { ...stream, flush: 'always' },
        },
        {
          name: 'Python loop',
          program: 'peers/python-loop/run',
          options: { events: sizes.peerEvents, payloadBytes, flush: 'everysec' },
        },
      ],
      comparisons: [
        ratio('T1', 'full path, Redis, PostgreSQL / COPY from a file', 'full path, Redis', copy.name, 0.6),
        ratio('T1', 'the same / Python loop', 'full path, Redis', 'Python loop', 10),
        ratio('', 'the same, flushed before each answer / COPY', 'full path, Redis, disk', copy.name, null),
        ratio('', 'Python loop / COPY from a file', 'Python loop', copy.name, null),
      ],
      bounds: [],
    },
    {
      id: 'W2',
      rounds: 1,
      blocks: [
        {
          name: 'append to Redis',
          program: 'workloads/redis-append',
          options: { batches: sizes.costBatches, eventsPerMessage: 100, payloadBytes },
        },
        {
          name: 'idle',
          program: 'workloads/redis-idle',
          options: { seconds: sizes.idleSeconds, payloadBytes },
        },
      ],
      comparisons: [],
      bounds: [
        bound('', "Redis's CPU of an append / XADD", 'append to Redis', 'cpuPerXaddAlone', 3, ''),
        bound('', 'the same, 64 in flight', 'append to Redis', 'cpuPerXaddTogether', 3, ''),
        bound('', 'commands to Redis when idle', 'idle', 'idleCommandsPerSecond', 5, '/s'),
        bound('', 'CPU when idle', 'idle', 'idleCpuPercent', 2, '%'),
        bound('', 'CPU while Redis is down', 'idle', 'redisAwayCpuPercent', 2, '%'),
        bound('', 'CPU while PostgreSQL is down', 'idle', 'postgresAwayCpuPercent', 2, '%'),
      ],
    },
    ...sizes.subscribers.map((subscribers): Contest => {
      const [product, floor] = [`feed, ${subscribers}`, `bare grpc-js loop (F3), ${subscribers}`]
      const options = { subscribers, payloadBytes, warmSeconds, seconds }
      return {
        id: 'W4',
        rounds,
        blocks: [
          { name: product, program: 'workloads/fan-out', options },
          { name: floor, program: 'floors/grpc-fan-out', options },
        ],
        comparisons: [ratio('T7', `deliveries, 1 to ${subscribers} / bare grpc-js loop`, product, floor, 2)],
        bounds: [],
      }
    }),
    {
      id: 'W4',
      rounds: 1,
      blocks: [
        {
          name: 'stuck subscribers',
          program: 'workloads/stuck-subscribers',
          options: { ...feed, payloadBytes, seconds, turns: rounds },
        },
        {
          name: 'idle subscribers',
          program: 'workloads/idle-subscribers',
          options: { subscribers: sizes.idleSubscribers, areStuck: false, payloadBytes, seconds },
        },
        {
          name: 'subscribers that never read',
          program: 'workloads/idle-subscribers',
          options: { subscribers: Math.min(1000, sizes.idleSubscribers), areStuck: true, payloadBytes, seconds },
        },
      ],
      comparisons: [],
      bounds: [
        bound(
          'T7',
          'p99 of healthy subscribers, in times of without stuck ones',
          'stuck subscribers',
          'p99Ratio',
          1.2,
          'times',
        ),
        bound(
          'T7',
          'memory beyond the buffers of stuck subscribers',
          'stuck subscribers',
          'rssBeyondBuffersMiB',
          64,
          'MiB',
        ),
        bound('', 'memory of an idle subscriber over SSE', 'idle subscribers', 'rssKibibytesEach', 30, 'KiB'),
        bound('', 'a publish beside them, in times of alone', 'idle subscribers', 'publishTimes', 1.1, 'times'),
        bound(
          '',
          'a publish beside 1,000 that match all and never read, in times of alone',
          'subscribers that never read',
          'publishTimes',
          1.5,
          'times',
        ),
      ],
    },
    {
      id: 'W5',
      rounds,
      blocks: [
        unary,
        ...requestBlocks,
        { name: 'BullMQ, waitUntilFinished', program: 'peers/queues/bullmq-requests', options: requests },
      ],
      comparisons: [
        ratio('T5', 'requests, embedded / bare grpc-js unary', 'requests, embedded', unary.name, 0.6),
        ratio('T5', 'requests, Redis / BullMQ', 'requests, redis', 'BullMQ, waitUntilFinished', 1.5),
        ratio('', 'requests, Redis / bare grpc-js unary', 'requests, redis', unary.name, null),
        ratio('', 'BullMQ / bare grpc-js unary', 'BullMQ, waitUntilFinished', unary.name, null),
      ],
      bounds: requestBlocks.map(({ name }) => ({
        ...bound('T5', `${name}, one at a time: p50 above that of bare unary`, name, 'aloneP50Ms', 1, 'ms'),
        above: unary.name,
      })),
    },
    {
      id: 'W6',
      rounds,
      blocks: [
        { name: 'bare grpc-js upload (F4)', program: 'floors/grpc-upload', options: upload },
        ...uploadBlocks,
        { name: '@fastify/multipart', program: 'peers/multipart/run', options: upload },
      ],
      comparisons: [
        ratio('T8', 'upload, gRPC / bare grpc-js upload', 'upload, grpc', 'bare grpc-js upload (F4)', 0.8),
        ratio('', 'upload, multipart / @fastify/multipart', 'upload, multipart', '@fastify/multipart', null),
        ratio('', 'upload, gRPC / @fastify/multipart', 'upload, grpc', '@fastify/multipart', null),
      ],
      bounds: uploadBlocks.map(({ name }) => bound('T8', `RSS growth, ${name}`, name, 'rssGrowthMiB', 64, 'MiB')),
    },
    {
      id: 'W7',
      rounds,
      blocks: [
        handlers('handlers, embedded', 'embedded', 1000),
        handlers('handlers, embedded, 16 at once', 'embedded', 16),
        handlers('handlers, embedded, batches', 'embedded', 16, { batchEvents: 500 }),
        handlers('handlers, Redis', 'redis', 1000),
        ...bullmqConcurrencies.map((concurrency) => ({
          name: `BullMQ, ${concurrency} at once`,
          program: 'peers/queues/bullmq',
          options: { events: sizes.peerEvents, payloadBytes, concurrency },
        })),
        {
          name: 'pg-boss, 500 a fetch',
          program: 'peers/queues/pg-boss',
          options: { events: sizes.peerEvents, payloadBytes },
        },
      ],
      comparisons: [
        ...bullmqConcurrencies.flatMap((concurrency) =>
          ['embedded', 'Redis'].map((log) =>
            ratio(
              'T6',
              `handlers, ${log} / BullMQ, ${concurrency} at once`,
              `handlers, ${log}`,
              `BullMQ, ${concurrency} at once`,
              5,
            ),
          ),
        ),
        ratio('', 'handlers, embedded / pg-boss', 'handlers, embedded', 'pg-boss, 500 a fetch', null),
        ratio('', 'the same, 16 at once', 'handlers, embedded, 16 at once', 'pg-boss, 500 a fetch', null),
        ratio('', 'the same, batches of 500', 'handlers, embedded, batches', 'pg-boss, 500 a fetch', null),
      ],
      bounds: [],
    },
    {
      id: 'W7',
      rounds,
      blocks: [
        handlers('handlers, embedded, 100 at once', 'embedded', remoteConcurrency),
        handlers('a worker, embedded, 100 at once', 'embedded', remoteConcurrency, { isRemote: true }),
        ...limits.map(({ name, ...each }) =>
          handlers(name, 'embedded', remoteConcurrency, { ...each, events: sizes.limitedEvents, keys: 20 }),
        ),
      ],
      comparisons: [
        ratio(
          '',
          'a worker outside the server / a handler in it',
          'a worker, embedded, 100 at once',
          'handlers, embedded, 100 at once',
          0.5,
        ),
        ratio('', 'three limits / the tightest of them alone', 'three limits', 'groupConcurrency', 0.8),
      ],
      bounds: [],
    },
    {
      id: 'W7',
      rounds: 1,
      blocks: workersPerConnection.map((each) => ({
        name: `idle workers, ${each} a connection`,
        program: 'workloads/idle-workers',
        options: { workers: sizes.idleWorkers, workersPerConnection: each, seconds: sizes.idleSeconds },
      })),
      comparisons: [],
      bounds: workersPerConnection.flatMap((each) => {
        const block = `idle workers, ${each} a connection`
        return [
          bound('', `${block}: memory of each`, block, 'kibibytesEach', 30, 'KiB'),
          bound('', `${block}: CPU of the server`, block, 'cpuPercent', 2, '%'),
        ]
      }),
    },
    {
      id: 'W7',
      rounds: 1,
      blocks: [
        {
          name: 'slow jobs',
          program: 'workloads/slow-jobs',
          options: { events: sizes.slowJobs, payloadBytes, workMs: slowJobMs, seconds: sizes.readerSeconds },
        },
      ],
      comparisons: [],
      bounds: [
        bound('', 'memory with many slow jobs, more than with 1,000', 'slow jobs', 'rssGrowthMiB', 64, 'MiB'),
        bound('', 'a high event starts, in times of a job', 'slow jobs', 'highStartsInTimes', 1, 'times'),
      ],
    },
    {
      id: 'W9',
      rounds,
      blocks: [
        inserts,
        groupedInserts,
        { name: 'landing', program: 'workloads/landing', options: backlog },
        {
          name: 'landing, 1 of 1,000 twice',
          program: 'workloads/landing',
          options: { ...backlog, duplicateEvery: 1000 },
        },
        { name: 'landing, random ids', program: 'workloads/landing', options: { ...backlog, hasRandomIds: true } },
      ],
      comparisons: [
        ratio('', 'landing alone / SQLite inserts', 'landing', inserts.name, null),
        ratio('', 'the same, 1 of 1,000 twice', 'landing, 1 of 1,000 twice', inserts.name, null),
        ratio('', 'landing alone, random ids / rising ones', 'landing, random ids', 'landing', 0.3),
        ratio('', 'landing alone / inserts of 16 rows each', 'landing', groupedInserts.name, null),
      ],
      bounds: [],
    },
    {
      id: 'W9',
      rounds,
      blocks: [
        copy,
        ...[0, 1000].map((duplicateEvery) => ({
          name: duplicateEvery === 0 ? 'landing, postgres' : 'landing, postgres, 1 of 1,000 twice',
          program: 'workloads/landing-postgres',
          options: { events: sizes.backlogEvents, eventsPerMessage: 100, payloadBytes, duplicateEvery },
        })),
      ],
      comparisons: [
        ratio('', 'landing alone / COPY from a file', 'landing, postgres', copy.name, 0.8),
        ratio('', '1 of 1,000 twice / none twice', 'landing, postgres, 1 of 1,000 twice', 'landing, postgres', 0.5),
      ],
      bounds: [],
    },
    {
      id: 'W9',
      rounds: 1,
      blocks: spreads.map(({ name, ...spread }) => ({
        name: `newest page, ${name}`,
        program: 'workloads/list-postgres',
        options: { rows: sizes.storedRows, payloadBytes, ...spread },
      })),
      comparisons: [],
      bounds: spreads.map(({ name }) =>
        bound('', `newest page of many rows, ${name}`, `newest page, ${name}`, 'medianPageMs', 50, 'ms'),
      ),
    },
    {
      id: 'W9',
      rounds: 1,
      blocks: stores.map((store) => ({
        name: `redrive, ${store}`,
        program: 'workloads/redrive',
        options: { store, letters: sizes.deadLetters, payloadBytes },
      })),
      comparisons: [],
      bounds: stores.map((store) =>
        bound('', `redrive of dead letters, ${store}`, `redrive, ${store}`, 'microsPerLetter', 200, 'µs each'),
      ),
    },
    {
      id: 'W9',
      rounds: 1,
      blocks: [
        {
          name: 'many waiting entries',
          program: 'workloads/large-log',
          options: {
            entries: sizes.waitingEntries,
            retries: Math.floor(sizes.waitingEntries / 10),
            payloadBytes,
            seconds: sizes.readerSeconds,
          },
        },
      ],
      comparisons: [],
      bounds: [
        bound('', 'opening a log of many waiting entries', 'many waiting entries', 'readySeconds', 1, 's'),
        bound(
          '',
          'an append beside its larger calls, in times of without',
          'many waiting entries',
          'p99Ratio',
          2,
          'times',
        ),
      ],
    },
    {
      id: 'W9',
      rounds: 1,
      blocks: stores.map((store) => ({
        name: `large pages, ${store}`,
        program: 'workloads/readers',
        options: {
          store,
          readers: 10,
          largeEvents: 300,
          largePayloadBytes,
          payloadBytes,
          seconds: sizes.readerSeconds,
        },
      })),
      comparisons: [],
      bounds: stores.flatMap((store) => {
        const [block, readers] = [`large pages, ${store}`, `ten readers of events of 1 MB, ${store}`]
        return [
          bound('', `${readers}: a liveness probe`, block, 'livezP99Ms', 100, 'ms'),
          bound('', `${readers}: a publish, in times of without`, block, 'publishP99Ratio', 4, 'times'),
          bound('', `${readers}: growth of memory`, block, 'rssGrowthMiB', 64, 'MiB'),
        ]
      }),
    },
    {
      id: 'W9',
      rounds: 1,
      blocks: [
        {
          name: 'PostgreSQL outage',
          program: 'workloads/postgres-away',
          options: {
            eventsPerSecond: awayEventsPerSecond,
            eventsPerMessage: 100,
            payloadBytes,
            warmSeconds: sizes.overloadWarmSeconds,
            awaySeconds: sizes.awaySeconds,
          },
        },
      ],
      comparisons: [],
      bounds: [
        bound('', 'RSS growth while PostgreSQL is down', 'PostgreSQL outage', 'rssGrowthMiB', 128, 'MiB'),
        bound('', 'intake / catch-up rate', 'PostgreSQL outage', 'intakePerCatchUp', 0.1, ''),
      ],
    },
    {
      id: 'W9',
      rounds: 1,
      blocks: [
        {
          name: 'start',
          program: 'workloads/ready',
          options: { logBytes: sizes.logBytes, eventsPerMessage: 1000, payloadBytes },
        },
      ],
      comparisons: [],
      bounds: [
        bound('', 'ready after kill -9, large log', 'start', 'readyAfterCrashSeconds', 2, 's'),
        bound('', 'ready after a stop, large log', 'start', 'readyAfterStopSeconds', 2, 's'),
      ],
    },
    {
      id: 'W8',
      rounds: sizes.overloadRounds,
      blocks: policies.flatMap((policy) => {
        const same = {
          policy,
          eventsPerMessage: 100,
          payloadBytes,
          warmSeconds: sizes.overloadWarmSeconds,
          seconds: sizes.overloadSeconds,
          maxWaitingEvents: sizes.maxWaitingEvents,
        }
        const slowed = { ...same, factor: overloadFactor, landingMaxEvents: 100, counts: 'accepted' }
        const full = { ...same, factor: goodputFactor, landingMaxEvents: null, counts: 'landed' }
        return [
          { name: `overload, ${policy}`, program: 'workloads/overload', options: slowed },
          { name: `goodput, ${policy}`, program: 'workloads/overload', options: full },
        ]
      }),
      comparisons: (['reject', 'drop'] as const).map((policy) =>
        ratio('', `landed under ${goodputFactor}x, ${policy} / wait`, `goodput, ${policy}`, 'goodput, wait', 0.8),
      ),
      bounds: policies.map((policy) =>
        bound('T9', `RSS growth under ${overloadFactor}x, ${policy}`, `overload, ${policy}`, 'rssGrowthMiB', 64, 'MiB'),
      ),
    },
  ]
}

function ratio(id: string, measure: string, product: string, floor: string, atLeast: number | null): Comparison {
  return { id, measure, product, floor, atLeast }
}

function bound(id: string, measure: string, block: string, detail: string, below: number, unit: string): Bound {
  return { id, measure, block, detail, below, unit }
}
