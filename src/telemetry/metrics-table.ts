// Every metric of Millrace. docs/metrics.md shows this table; test/reference.test.ts compares the two.
//
// The key is the field of Metrics. Labels have few values: never ids, keys, event types or addresses.

import { lanes } from '../event/event.ts'

/** Label values that are known at start. Their series exist from the start, with the value 0. */
type KnownValues = { readonly [label: string]: readonly string[] }

export interface CounterRow<Label extends string = string> {
  readonly type: 'counter'
  readonly name: string
  readonly help: string
  readonly labels: readonly Label[]
  readonly known: KnownValues
}

export interface GaugeRow<Label extends string = string> {
  readonly type: 'gauge'
  readonly name: string
  readonly help: string
  readonly labels: readonly Label[]
}

export interface HistogramRow<Label extends string = string> {
  readonly type: 'histogram'
  readonly name: string
  readonly help: string
  readonly labels: readonly Label[]
  readonly known: KnownValues
  /** Upper bounds, in ascending order. */
  readonly buckets: readonly number[]
}

export type MetricRow = CounterRow | GaugeRow | HistogramRow

const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const transport = ['grpc', 'http']

export const metricsTable = {
  eventsReceived: counter('millrace_events_received_total', 'Events received from producers, before any check.', [
    'topic',
  ]),
  eventsAccepted: counter('millrace_events_accepted_total', 'Events accepted, by lane.', ['topic', 'lane'], {
    lane: lanes,
  }),
  eventsRejected: counter('millrace_events_rejected_total', 'Events rejected, by error code.', ['topic', 'code'], {
    code: ['invalid_event', 'event_too_large', 'backlogged', 'disk_full'],
  }),
  eventsDropped: counter(
    'millrace_events_dropped_total',
    'Events dropped because there was no room and the producer set overflow to drop.',
    ['topic'],
  ),
  publishDuration: histogram(
    'millrace_publish_duration_seconds',
    'Time from reading a message to its answer.',
    ['transport'],
    secondsBuckets,
    { transport },
  ),

  logCommits: counter('millrace_log_commits_total', 'Transactions that the log has made durable.', []),
  logCommitDuration: histogram(
    'millrace_log_commit_duration_seconds',
    'Duration of one transaction of the log, including its flush.',
    [],
    secondsBuckets,
  ),
  logAppendedEntries: counter('millrace_log_appended_entries_total', 'Entries appended to the log.', []),
  logAppendedBytes: counter('millrace_log_appended_bytes_total', 'Event bytes appended to the log.', []),
  logWaiting: gauge('millrace_log_waiting_events', 'Events that the group has not settled.', ['topic', 'group']),
  logReady: gauge('millrace_log_ready_events', 'Waiting events that are neither scheduled, held nor in flight.', [
    'topic',
    'group',
  ]),
  logScheduled: gauge('millrace_log_scheduled_events', 'Waiting events to be redelivered that are not due yet.', [
    'topic',
    'group',
  ]),
  logHeld: gauge(
    'millrace_log_held_events',
    'Waiting events that wait for an earlier one of their key, or for a person to release them.',
    ['topic', 'group'],
  ),
  logInFlight: gauge('millrace_log_in_flight_events', 'Waiting events that are leased to a consumer.', [
    'topic',
    'group',
  ]),
  logLedger: counter(
    'millrace_log_ledger_events_total',
    'The ledger of the group: accepted + reopened = waiting + landed + dead + lost.',
    ['topic', 'group', 'term'],
    { term: ['accepted', 'reopened', 'landed', 'dead', 'lost', 'skipped'] },
  ),
  ledgerBalanced: gauge('millrace_ledger_balanced', '1 if the last audit of the log matches the ledger, else 0.', [
    'topic',
    'group',
  ]),
  logReset: counter('millrace_log_reset_total', 'Log epochs started because Redis had lost acknowledged data.', []),
  logDurability: gauge(
    'millrace_log_durability',
    '1 for the durability level and persistence that accepted events reach.',
    ['level', 'persistence'],
  ),
  durabilityUnverified: gauge(
    'millrace_durability_unverified',
    '1 while the durability is assumed, not verified (MILLRACE_REDIS_TRUST_DISK), else 0.',
    [],
  ),

  landingRows: counter('millrace_landing_rows_total', 'Rows inserted.', []),
  landingDuplicates: counter('millrace_landing_duplicates_total', 'Events whose row already existed.', []),
  landingConflicts: counter(
    'millrace_landing_conflicts_total',
    'Duplicates whose content differs from the existing row.',
    [],
  ),
  landingPoison: counter(
    'millrace_landing_poison_total',
    "Events that the database rejected, by the database's code.",
    ['code'],
  ),
  landingUnlistedSqlstate: counter(
    'millrace_landing_unlisted_sqlstate_total',
    'Landing attempts that failed with an SQLSTATE outside the closed list.',
    ['code'],
  ),
  landingDuration: histogram('millrace_landing_duration_seconds', 'Time to land one batch.', [], secondsBuckets),
  landingBatchRows: histogram(
    'millrace_landing_batch_rows',
    'Events that landed in one batch.',
    [],
    [1, 10, 100, 500, 1000, 2000, 4000, 8000],
  ),
  landingPaused: gauge('millrace_landing_paused', '1 while landing waits for the database, else 0.', []),
  deadLetters: counter('millrace_dead_letters_total', 'Events that became dead letters.', ['topic', 'group', 'code'], {
    code: ['refused_by_store', 'corrupt'],
  }),
  handlerAttempts: counter('millrace_handler_attempts_total', 'Attempts of handlers, by how they ended.', [
    'topic',
    'group',
    'end',
  ]),
  handlerDuration: histogram(
    'millrace_handler_duration_seconds',
    'Time of one attempt of a handler.',
    ['topic', 'group'],
    secondsBuckets,
  ),
  handlerThreadsEnded: counter(
    'millrace_handler_threads_ended_total',
    'Threads of isolated handlers that ended: process.exit, an uncaught error, no memory, or an ignored time limit.',
    ['topic', 'group'],
  ),
  handlerBlocked: counter(
    'millrace_handler_blocked_seconds_total',
    'Time that the event loop was blocked, 1 s or longer at once, by the handler or while it had events at work.',
    ['topic', 'group'],
  ),

  uploads: counter(
    'millrace_uploads_total',
    'Finished uploads of files, by error code; `ok` for those stored.',
    ['code'],
    {
      code: ['ok'],
    },
  ),
  uploadedBytes: counter('millrace_uploaded_bytes_total', 'Bytes of files received, also of refused uploads.', []),
  requestDuration: histogram(
    'millrace_request_duration_seconds',
    'Time from taking a request to its end here: a reply, an error code, or a stage when its caller waits no more.',
    ['topic', 'end'],
    secondsBuckets,
  ),
  requestsExpired: counter('millrace_requests_expired_total', 'Requests skipped because their deadline had passed.', [
    'topic',
  ]),
  repliesLate: counter('millrace_replies_late_total', 'Replies made after the deadline, which are not stored.', [
    'topic',
  ]),

  subscribers: gauge('millrace_subscribers', 'Subscribers of the live feed.', ['topic']),
  liveSent: counter('millrace_live_sent_events_total', 'Events sent to subscribers, once for each.', ['topic']),
  liveDropped: counter(
    'millrace_live_dropped_events_total',
    'Events that subscribers did not get, where the number is known, once for each.',
    ['topic'],
  ),
  liveLag: gauge('millrace_live_lag_events', 'Events that the slowest subscriber is behind the feed of its topic.', []),

  grpcCalls: counter('millrace_grpc_calls_total', 'Finished gRPC calls, by status code.', ['method', 'code']),
  rpcServerDuration: histogram(
    'millrace_rpc_server_duration_seconds',
    'Duration of a gRPC call, from its first byte to its status.',
    ['method', 'code'],
    secondsBuckets,
  ),
  httpRequestDuration: histogram(
    'millrace_http_request_duration_seconds',
    'Duration of an HTTP request, by route template.',
    ['method', 'route', 'status'],
    secondsBuckets,
  ),
  openConnections: gauge('millrace_open_connections', 'Open client connections.', ['transport']),

  componentUp: gauge('millrace_component_up', '1 while nothing is wrong with the component, else 0.', ['component']),
  degraded: gauge('millrace_degraded', '1 while the component is degraded or down for this reason, 0 after its end.', [
    'component',
    'reason',
  ]),
  diskFreeBytes: gauge('millrace_disk_free_bytes', 'Free space on the disk of the data directory.', []),
  eventLoopDelay: gauge(
    'millrace_event_loop_delay_seconds',
    'Event loop delay, 99th percentile since the previous scrape.',
    [],
  ),
  logLinesLost: counter('millrace_log_lines_lost_total', 'Log lines that could not be written.', []),
  scrapeFailures: counter(
    'millrace_scrape_failures_total',
    'Failed reads of a value for a scrape; the scrape shows the previous value.',
    [],
  ),
  buildInfo: gauge('millrace_build_info', 'Always 1; the labels are the running versions.', ['version', 'node']),
}

function counter<Label extends string>(
  name: string,
  help: string,
  labels: readonly Label[],
  known: KnownValues = {},
): CounterRow<Label> {
  return { type: 'counter', name, help, labels, known }
}

function gauge<Label extends string>(name: string, help: string, labels: readonly Label[]): GaugeRow<Label> {
  return { type: 'gauge', name, help, labels }
}

function histogram<Label extends string>(
  name: string,
  help: string,
  labels: readonly Label[],
  buckets: readonly number[],
  known: KnownValues = {},
): HistogramRow<Label> {
  return { type: 'histogram', name, help, labels, known, buckets }
}
