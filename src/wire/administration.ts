// AdminService, without the status: a row for each call.

import { MillraceError } from '../errors.ts'
import { defaultTopic } from '../event/event.ts'
import {
  ReleaseAction as ActionNumber,
  AdminService,
  DeadLetterCauseSchema,
  DeadLetterFilterSchema,
  DeadLetterSchema,
  FailedAttemptSchema,
  GetDeadLetterResponseSchema,
  HeldKeySchema,
  JourneyStepSchema,
  RedriveDeadLettersRequestSchema,
  RedriveDeadLettersResponseSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import {
  type DeadLetterDetail,
  type DeleteAnswer,
  type DeleteGroupAnswer,
  defaultReplayGroup,
  type EventName,
  type GroupName,
  type HeldKey,
  type HeldKeys,
  type Journey,
  type JourneyStep,
  type RedriveAnswer,
  type RedriveRequest,
  type ReleaseAction,
  type ReplayAnswer,
  type ReplayRequest,
  rateLimits,
} from '../pipeline/administration.ts'
import type {
  DeadLetterCause,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterQuery,
  DeadLetterSummary,
  FailedAttempt,
} from '../pipeline/dead-letters.ts'
import type { EventPage, EventQuery } from '../pipeline/stored-event.ts'
import { type Nothing, nothing, rpc } from './rpc.ts'
import {
  by,
  bytes,
  count,
  enumOf,
  flag,
  given,
  type Kind,
  list,
  named,
  number,
  object,
  optional,
  orAll,
  orDefault,
  orEmpty,
  orNull,
  shape,
  text,
  time,
  whole,
  word,
} from './shape.ts'
import { lane, storedEvent } from './stored-event.ts'

/** How many are listed when the request does not say. */
export const defaultLimit = orDefault(whole, 100)
const rate = given(orDefault(whole, rateLimits.default))
const optionalText = optional(orEmpty(text))
const optionalTime = optional(orNull(time))
const groupName = { topic: orDefault(text, defaultTopic), group: text }

export const journeyStep = shape<JourneyStep>(JourneyStepSchema, {
  kind: word<JourneyStep['kind']>(),
  atMicros: orNull(time),
  group: orEmpty(text),
  attempt: orEmpty(number),
  code: orEmpty(text),
  message: orEmpty(text),
  position: orEmpty(text),
  deadLetterId: orEmpty(text),
})

const failedAttempt = shape<FailedAttempt>(FailedAttemptSchema, {
  attempt: number,
  atMicros: time,
  code: text,
  message: text,
  position: text,
})

export const deadLetter = shape<DeadLetterSummary>(DeadLetterSchema, {
  deadLetterId: text,
  eventId: orEmpty(text),
  topic: text,
  group: text,
  type: text,
  source: text,
  code: text,
  message: text,
  attempts: number,
  firstFailedAtMicros: time,
  deadAtMicros: time,
  history: list(object(failedAttempt)),
  redrivenAtMicros: orNull(time),
  redrives: number,
})

export const deadLetterCause = shape<DeadLetterCause>(DeadLetterCauseSchema, {
  topic: text,
  group: text,
  type: text,
  code: text,
  message: text,
  deadLetters: count,
  firstDeadAtMicros: time,
  lastDeadAtMicros: time,
})

export const heldKey = shape<HeldKey>(HeldKeySchema, {
  key: text,
  partition: number,
  priority: lane,
  events: count,
  attempts: number,
  dueAtMicros: orNull(time),
})

const condition = <Value extends string | readonly string[]>(kind: Kind<Value>) => optional(orAll(kind))

const filter = shape<DeadLetterFilter>(DeadLetterFilterSchema, {
  deadLetterIds: condition(list(text)),
  topic: condition(text),
  group: condition(text),
  type: condition(text),
  code: condition(text),
  sinceMicros: optionalTime,
  untilMicros: optionalTime,
  isRedriven: named('redriven', optional(orNull(flag))),
})

/** An absent filter has no condition. */
const filterOrNone: Kind<DeadLetterFilter> = {
  ...object(filter),
  ofWire: (wire, field) => (wire === undefined ? {} : object(filter).ofWire(wire, field)),
}

export const redriveAnswer = shape<RedriveAnswer>(RedriveDeadLettersResponseSchema, {
  matched: count,
  redriven: count,
  skipped: count,
  failedAgain: count,
  stopped: orEmpty(text),
  nextCursor: orEmpty(text),
})

type FlatRedrive = Omit<RedriveRequest, 'edit'> & {
  readonly data: Uint8Array | undefined
  readonly dataContentType: string | undefined
}

const redriveRequest = by<RedriveRequest, FlatRedrive>(
  shape(RedriveDeadLettersRequestSchema, {
    filter: filterOrNone,
    rate,
    isDryRun: named('dryRun', flag),
    data: optional(orNull(bytes)),
    dataContentType: optionalText,
    cursor: optionalText,
  }),
  ({ edit, ...rest }) => ({ ...rest, data: edit?.data, dataContentType: edit?.contentType }),
  ({ data, dataContentType, ...rest }) => {
    if (data !== undefined) return { ...rest, edit: { data, contentType: dataContentType } }
    if (dataContentType === undefined) return { ...rest, edit: undefined }
    throw new MillraceError('invalid_event', 'data_content_type is given without data', { field: 'data_content_type' })
  },
)

type DetailParts = Omit<DeadLetterDetail, 'letter' | 'damagedBytes'> & {
  readonly deadLetter: DeadLetterSummary
  readonly damagedBytes: Uint8Array
}

const detail = by<DeadLetterDetail, DetailParts>(
  shape(GetDeadLetterResponseSchema, {
    deadLetter: object(deadLetter),
    event: orNull(object(storedEvent)),
    damagedBytes: bytes,
  }),
  ({ letter, event, damagedBytes }) => ({ deadLetter: letter, event, damagedBytes: damagedBytes ?? new Uint8Array(0) }),
  ({ deadLetter: letter, event, damagedBytes }) => ({
    letter,
    event,
    damagedBytes: event === null ? damagedBytes : null,
  }),
)

interface LettersRequest extends Pick<DeadLetterQuery, 'limit' | 'cursor'> {
  readonly filter: DeadLetterFilter
  readonly byCause: boolean
}

interface LettersAnswer extends DeadLetterPage {
  readonly causes: readonly DeadLetterCause[]
}

interface KeyToRelease extends GroupName {
  readonly key: string
  readonly action: ReleaseAction
}

const { method } = AdminService

export const listEvents = rpc<EventQuery, EventPage>(
  method.listEvents,
  {
    topic: condition(text),
    type: condition(text),
    source: condition(text),
    sinceMicros: optionalTime,
    untilMicros: optionalTime,
    limit: defaultLimit,
    cursor: optionalText,
  },
  { events: list(object(storedEvent)), nextCursor: orEmpty(text) },
)

export const administrationRpcs = {
  journey: rpc<EventName, Journey>(
    method.getEvent,
    { id: text, source: optionalText },
    { event: object(storedEvent), state: word<Journey['state']>(), steps: list(object(journeyStep)) },
  ),
  listDeadLetters: rpc<LettersRequest, LettersAnswer>(
    method.listDeadLetters,
    { filter: filterOrNone, limit: defaultLimit, cursor: optionalText, byCause: flag },
    {
      deadLetters: list(object(deadLetter)),
      nextCursor: orEmpty(text),
      causes: list(object(deadLetterCause)),
    },
  ),
  getDeadLetter: rpc<{ readonly deadLetterId: string }, DeadLetterDetail>(
    method.getDeadLetter,
    { deadLetterId: text },
    detail,
  ),
  redriveDeadLetters: rpc<RedriveRequest, RedriveAnswer>(method.redriveDeadLetters, redriveRequest, redriveAnswer),
  deleteDeadLetters: rpc<{ readonly filter: DeadLetterFilter; readonly isDryRun: boolean }, DeleteAnswer>(
    method.deleteDeadLetters,
    { filter: filterOrNone, isDryRun: named('dryRun', flag) },
    { matched: count, deleted: count },
  ),
  replay: rpc<ReplayRequest, ReplayAnswer>(
    method.replay,
    {
      topic: orDefault(text, defaultTopic),
      group: orDefault(text, defaultReplayGroup),
      sinceMicros: optionalTime,
      from: condition(text),
      type: condition(text),
      rate,
      isDryRun: named('dryRun', flag),
      cursor: optionalText,
    },
    { replayed: count, nextCursor: orEmpty(text) },
  ),
  pauseGroup: rpc<GroupName & { readonly reason: string }, Nothing>(
    method.pauseGroup,
    { ...groupName, reason: text },
    nothing,
  ),
  resumeGroup: rpc<GroupName & { readonly rate: number | undefined }, Nothing>(
    method.resumeGroup,
    { ...groupName, rate: optional(orAll(whole)) },
    nothing,
  ),
  deleteGroup: rpc<GroupName, DeleteGroupAnswer>(method.deleteGroup, groupName, { abandoned: count }),
  heldKeys: rpc<GroupName & { readonly limit: number }, HeldKeys>(
    method.listHeldKeys,
    { ...groupName, limit: defaultLimit },
    { keys: list(object(heldKey)), hasMore: flag },
  ),
  releaseKey: rpc<KeyToRelease, Nothing>(
    method.releaseKey,
    {
      ...groupName,
      key: text,
      action: enumOf<ReleaseAction>({
        ...{ retry: ActionNumber.RETRY, release: ActionNumber.RELEASE, skip: ActionNumber.SKIP },
      }),
    },
    nothing,
  ),
}
