// The status and the observations, as AdminService and the JSON of HTTP have them. A value that is not known is absent in
// the message, and null in JSON; never 0.

import {
  AdminService,
  CauseSchema,
  DeadLetterCountSchema,
  DurationBucketSchema,
  GetStatusHistoryResponseSchema,
  GroupOptionsSchema,
  GroupStateSchema,
  GroupStatusSchema,
  LandingStatementsSchema,
  LandingTotalsSchema,
  LedgerRowSchema,
  ListedGroupSchema,
  LogStatusSchema,
  ObservationsSchema,
  ProcessStatusSchema,
  PublishedTotalsSchema,
  RecentEventsSchema,
  StatusSchema,
  StoreObservationSchema,
  StoreStatusSchema,
  SubscriberStatusSchema,
  TopicStatusSchema,
  TypeCountSchema,
  WatchStatusResponseSchema,
  WorkerStatusSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import { type GroupState, groupStates } from '../pipeline/group-state.ts'
import type { SubscriberStatus } from '../pipeline/live.ts'
import type {
  DeadLetterCount,
  DurationBucket,
  LandingStatements,
  LandingTotals,
  LogObservation,
  Observations,
  PublishedTotals,
  RecentEvents,
  StoreObservation,
  TypeCount,
} from '../pipeline/observations.ts'
import type {
  GroupOptions,
  GroupStatus,
  LedgerRow,
  ListedGroup,
  Observed,
  Status,
  TopicStatus,
} from '../pipeline/pipeline.ts'
import type { ProcessStatus } from '../pipeline/process-status.ts'
import type { Cause } from '../pipeline/readiness.ts'
import type { SecondValues, StatusHistory } from '../pipeline/status-history.ts'
import type { WorkerStatus } from '../pipeline/work.ts'
import { durabilities } from './publish.ts'
import { type Nothing, nothing, rpc } from './rpc.ts'
import {
  by,
  count,
  flag,
  type Kind,
  list,
  named,
  number,
  object,
  oneOf,
  orNull,
  type Shape,
  shape,
  type Table,
  text,
  timeInMs,
} from './shape.ts'

const countOrNull = orNull(count)

/** A state that is not known is one in which the group does not run. */
export const groupState = shape<GroupState>(GroupStateSchema, {
  is: oneOf(groupStates, 'outage'),
  by: orNull(oneOf(['person', 'system'], 'system')),
  reason: orNull(text),
  sinceMs: orNull(timeInMs),
})

const groupFields: Table<GroupStatus> = {
  name: text,
  types: list(text),
  waiting: countOrNull,
  ready: countOrNull,
  scheduled: countOrNull,
  held: countOrNull,
  inFlight: countOrNull,
  skipped: countOrNull,
  oldestWaitingSeconds: orNull(number),
  state: object(groupState),
}

const topicStatus = shape<TopicStatus>(TopicStatusSchema, {
  name: text,
  partitions: number,
  groups: list(object(shape<GroupStatus>(GroupStatusSchema, groupFields))),
})

const ledgerRow = shape<LedgerRow>(LedgerRowSchema, {
  topic: text,
  group: text,
  accepted: countOrNull,
  reopened: countOrNull,
  waiting: countOrNull,
  landed: countOrNull,
  dead: countOrNull,
  lost: countOrNull,
  balanced: orNull(flag),
})

const processStatus = shape<ProcessStatus>(ProcessStatusSchema, {
  id: text,
  roles: list(text),
  host: text,
  version: text,
  startedAtMs: timeInMs,
})

export const status = shape<Status>(StatusSchema, {
  version: text,
  uptimeSeconds: number,
  durability: oneOf(durabilities, 'memory'),
  log: object(shape<Status['log']>(LogStatusSchema, { driver: text, epoch: countOrNull })),
  store: object(shape<Status['store']>(StoreStatusSchema, { driver: text, up: flag })),
  state: oneOf(['ready', 'degraded', 'unready'], 'ready'),
  causes: list(object(shape<Cause>(CauseSchema, { component: text, reason: text, message: text }))),
  topics: list(object(topicStatus)),
  ledger: list(object(ledgerRow)),
  processes: list(object(processStatus)),
  subscribers: countOrNull,
  workers: countOrNull,
})

type ByLane = PublishedTotals['acceptedByLane']

const countByLane: Kind<ByLane> = {
  toWire: ({ high, normal, low }) => ({ high: BigInt(high), normal: BigInt(normal), low: BigInt(low) }),
  ofWire: ({ high = 0n, normal = 0n, low = 0n }: Partial<Record<keyof ByLane, bigint>>) => ({
    ...{ high: Number(high), normal: Number(normal), low: Number(low) },
  }),
  toJson: (counts) => counts,
}

const published = shape<PublishedTotals>(PublishedTotalsSchema, {
  received: count,
  accepted: count,
  rejected: count,
  dropped: count,
  acceptedByLane: countByLane,
})

const bucket = shape<DurationBucket>(DurationBucketSchema, { upToSeconds: orNull(number), batches: count })

const landing = shape<LandingTotals>(LandingTotalsSchema, {
  rows: count,
  duplicates: count,
  conflicts: count,
  batches: count,
  seconds: number,
  durations: list(object(bucket)),
})

const typeCount = shape<TypeCount>(TypeCountSchema, { type: text, events: count })
const recent = shape<RecentEvents>(RecentEventsSchema, { events: count, types: list(object(typeCount)) })
const deadLetters = shape<DeadLetterCount>(DeadLetterCountSchema, { open: count, redriven: count, more: flag })
const statements = shape<LandingStatements>(LandingStatementsSchema, { calls: count, meanSeconds: number, rows: count })

const store = shape<StoreObservation>(StoreObservationSchema, {
  eventsBytes: countOrNull,
  deadLetters: orNull(object(deadLetters)),
  recent: orNull(object(recent)),
  statements: orNull(object(statements)),
})

type Flat = Omit<Observations, 'log'> & {
  readonly [Name in keyof LogObservation as `log${Capitalize<Name>}`]: LogObservation[Name]
}

const flat = shape<Flat>(ObservationsSchema, {
  atSeconds: number,
  published: orNull(object(published)),
  landing: orNull(object(landing)),
  logUsedBytes: countOrNull,
  logLimitBytes: countOrNull,
  logProblem: orNull(text),
  logPersistence: text,
  store: orNull(object(store)),
})

const toFlat = ({ log, ...rest }: Observations): Flat => ({
  ...{ logUsedBytes: log.usedBytes, logLimitBytes: log.limitBytes },
  ...{ logProblem: log.problem, logPersistence: log.persistence },
  ...rest,
})

/** In the message what is known of the log is not a message of its own. */
const observations: Shape<Observations> = {
  ...by(flat, toFlat, ({ logUsedBytes, logLimitBytes, logProblem, logPersistence, ...rest }) => ({
    log: { usedBytes: logUsedBytes, limitBytes: logLimitBytes, problem: logProblem, persistence: logPersistence },
    ...rest,
  })),
  toJson: (value) => {
    const { log_used_bytes, log_limit_bytes, log_problem, log_persistence, store, ...rest } = flat.toJson(toFlat(value))
    const used = { used_bytes: log_used_bytes, limit_bytes: log_limit_bytes }
    return { ...rest, log: { ...used, problem: log_problem, persistence: log_persistence }, store }
  },
}

export const observed = shape<Observed>(WatchStatusResponseSchema, {
  status: object(status),
  observations: object(observations),
})

const groupOptions = shape<GroupOptions>(GroupOptionsSchema, {
  ordered: flag,
  timeoutMs: named('timeoutMs', number),
  maxAttempts: number,
  initialDelayMs: named('initialDelayMs', number),
  maxDelayMs: named('maxDelayMs', number),
  onExhausted: oneOf(['dead-letter', 'hold'], 'dead-letter'),
  groupConcurrency: orNull(number),
  ratePerSecond: orNull(number),
  limitPerKey: orNull(number),
})

export const listedGroup = shape<ListedGroup>(ListedGroupSchema, {
  topic: text,
  ...groupFields,
  ratePerSecond: named('rate', orNull(number)),
  options: orNull(object(groupOptions)),
})

export const workerStatus = shape<WorkerStatus>(WorkerStatusSchema, {
  topic: text,
  group: text,
  peer: text,
  sinceMs: timeInMs,
  inFlight: number,
  maxInFlight: number,
})

export const subscriberStatus = shape<SubscriberStatus>(SubscriberStatusSchema, {
  subscriberId: text,
  topic: text,
  sinceMs: timeInMs,
  isLive: flag,
  lagEvents: countOrNull,
  bufferedEvents: count,
  bufferedBytes: count,
  sentEvents: count,
  droppedEvents: countOrNull,
})

/** A message has no null in a list. */
const secondValues: Kind<SecondValues> = {
  toWire: (values) => values.map((value) => value ?? Number.NaN),
  ofWire: (wire: readonly number[]) => wire.map((value) => (Number.isNaN(value) ? null : value)),
  toJson: (values) => values,
}

export const statusHistory = shape<StatusHistory>(GetStatusHistoryResponseSchema, {
  seconds: list(number),
  accepted: secondValues,
  rejected: secondValues,
  landed: secondValues,
  dead: secondValues,
  waiting: secondValues,
  landingP50Seconds: secondValues,
  landingP99Seconds: secondValues,
})

const { method } = AdminService

export const statusRpcs = {
  status: rpc<Nothing, { readonly status: Status }>(method.getStatus, nothing, { status: object(status) }),
  groups: rpc<Nothing, { readonly groups: readonly ListedGroup[] }>(method.listGroups, nothing, {
    groups: list(object(listedGroup)),
  }),
  workers: rpc<Nothing, { readonly workers: readonly WorkerStatus[] }>(method.listWorkers, nothing, {
    workers: list(object(workerStatus)),
  }),
  subscribers: rpc<Nothing, { readonly subscribers: readonly SubscriberStatus[] }>(method.listSubscribers, nothing, {
    subscribers: list(object(subscriberStatus)),
  }),
  history: rpc<Nothing, StatusHistory>(method.getStatusHistory, nothing, statusHistory),
}
