// Every metric of Millrace, in one table. docs/metrics.md is this table as a page; test/reference.test.ts compares them.
//
// The key is the field of Metrics. Labels have few values, known in advance: never ids, keys, event types or addresses.

import { lanes } from '../event/event.ts'

/** Values of a label that are known from the start: their series exist from the start too, with 0. */
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
  /** Upper bounds, rising. */
  readonly buckets: readonly number[]
}

export type MetricRow = CounterRow | GaugeRow | HistogramRow

const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const transport = ['grpc', 'http']

export const metricsTable = {
  eventsReceived: counter('millrace_events_received_total', 'Events that producers sent, before any check.', ['topic']),
  eventsAccepted: counter(
    'millrace_events_accepted_total',
    'Events answered as accepted, by lane.',
    ['topic', 'lane'],
    {
      lane: lanes,
    },
  ),
  eventsRejected: counter('millrace_events_rejected_total', 'Events refused, by error code.', ['topic', 'code'], {
    code: ['invalid_event', 'event_too_large', 'backlogged', 'disk_full'],
  }),
  eventsDropped: counter('millrace_events_dropped_total', 'Events dropped for want of room, as asked.', ['topic']),
  publishDuration: histogram(
    'millrace_publish_duration_seconds',
    'Time from a message read to its verdict.',
    ['transport'],
    secondsBuckets,
    { transport },
  ),

  logCommits: counter('millrace_log_commits_total', 'Transactions that the log has made durable.', []),
  logCommitDuration: histogram(
    'millrace_log_commit_duration_seconds',
    'Time that one transaction of the log took, with its flush.',
    [],
    secondsBuckets,
  ),
  logAppendedEntries: counter('millrace_log_appended_entries_total', 'Entries appended to the log.', []),
  logAppendedBytes: counter('millrace_log_appended_bytes_total', 'Bytes of events appended to the log.', []),
  logWaiting: gauge('millrace_log_waiting_events', 'Events that the group has not settled.', ['topic', 'group']),
  logInFlight: gauge('millrace_log_in_flight_events', 'Waiting events that are in the hands of a consumer.', [
    'topic',
    'group',
  ]),
  logLedger: counter(
    'millrace_log_ledger_events_total',
    'The ledger of the group: accepted + reopened = waiting + landed + dead + lost.',
    ['topic', 'group', 'term'],
    { term: ['accepted', 'reopened', 'landed', 'dead', 'lost', 'skipped'] },
  ),
  ledgerBalanced: gauge('millrace_ledger_balanced', '1 when an audit of the log counts what the ledger says, else 0.', [
    'topic',
    'group',
  ]),
  logReset: counter(
    'millrace_log_reset_total',
    'New epochs of the log that began because Redis had lost what it had acknowledged.',
    [],
  ),
  logDurability: gauge('millrace_log_durability', '1 for what an accepted event has reached.', [
    'level',
    'persistence',
  ]),
  durabilityUnverified: gauge(
    'millrace_durability_unverified',
    "1 while the durability rests on the operator's word (MILLRACE_REDIS_TRUST_DISK), else 0.",
    [],
  ),

  landingRows: counter('millrace_landing_rows_total', 'Rows made.', []),
  landingDuplicates: counter('millrace_landing_duplicates_total', 'Events whose row was there already.', []),
  landingConflicts: counter(
    'millrace_landing_conflicts_total',
    'Duplicates with other content than the row that is there.',
    [],
  ),
  landingPoison: counter('millrace_landing_poison_total', "Events that the database refused, by the database's code.", [
    'code',
  ]),
  landingUnlistedSqlstate: counter(
    'millrace_landing_unlisted_sqlstate_total',
    'Tries to land that ended with an SQLSTATE of which it is not known what it means.',
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

  grpcCalls: counter('millrace_grpc_calls_total', 'gRPC calls that have ended, by status code.', ['method', 'code']),
  rpcServerDuration: histogram(
    'millrace_rpc_server_duration_seconds',
    'Time of a gRPC call, from its first byte to its status.',
    ['method', 'code'],
    secondsBuckets,
  ),
  httpRequestDuration: histogram(
    'millrace_http_request_duration_seconds',
    "Time of an HTTP request, by the route's template.",
    ['method', 'route', 'status'],
    secondsBuckets,
  ),
  openConnections: gauge('millrace_open_connections', 'Connections of clients.', ['transport']),

  componentUp: gauge('millrace_component_up', '1 while the part works, else 0.', ['component']),
  diskFreeBytes: gauge('millrace_disk_free_bytes', 'Free space where the data directory is.', []),
  eventLoopDelay: gauge(
    'millrace_event_loop_delay_seconds',
    'How late the event loop was, 99th percentile since the scrape before.',
    [],
  ),
  logLinesLost: counter('millrace_log_lines_lost_total', 'Log lines that could not be written.', []),
  scrapeFailures: counter(
    'millrace_scrape_failures_total',
    'How often a value could not be read for a scrape, so that the one before was shown.',
    [],
  ),
  buildInfo: gauge('millrace_build_info', 'Always 1; the labels say what runs.', ['version', 'node']),
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
