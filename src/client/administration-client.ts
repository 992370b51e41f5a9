// Implements Administration over gRPC: AdminService.

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import {
  ReleaseAction as ActionOnWire,
  type DeadLetterFilterSchema,
  DeleteDeadLettersRequestSchema,
  DeleteDeadLettersResponseSchema,
  DeleteGroupRequestSchema,
  DeleteGroupResponseSchema,
  GetDeadLetterRequestSchema,
  GetDeadLetterResponseSchema,
  GetEventRequestSchema,
  GetEventResponseSchema,
  ListDeadLettersRequestSchema,
  ListDeadLettersResponseSchema,
  ListHeldKeysRequestSchema,
  ListHeldKeysResponseSchema,
  PauseGroupRequestSchema,
  PauseGroupResponseSchema,
  RedriveDeadLettersRequestSchema,
  RedriveDeadLettersResponseSchema,
  ReleaseKeyRequestSchema,
  ReleaseKeyResponseSchema,
  ReplayRequestSchema,
  ReplayResponseSchema,
  ResumeGroupRequestSchema,
  ResumeGroupResponseSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import { timestampOf } from '../lib/timestamp.ts'
import type {
  Administration,
  DeadLetterDetail,
  DeleteAnswer,
  DeleteGroupAnswer,
  EventName,
  GroupName,
  HeldKeys,
  Journey,
  RedriveAnswer,
  RedriveRequest,
  ReleaseAction,
  ReplayAnswer,
  ReplayRequest,
  WorkOptions,
} from '../pipeline/administration.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterPage, DeadLetterQuery } from '../pipeline/dead-letters.ts'
import { causeOfWire, deadLetterOfWire, detailOfWire, heldKeyOfWire, journeyOfWire } from './administration-of-wire.ts'

/** Makes one call: method, encoded request, decoder of the answer. */
export type MakeCall = <Response>(
  method: string,
  request: Buffer,
  decode: (bytes: Buffer) => Response,
  options: WorkOptions,
) => Promise<Response>

const actionOnWire: Readonly<Record<ReleaseAction, ActionOnWire>> = {
  retry: ActionOnWire.RETRY,
  release: ActionOnWire.RELEASE,
  skip: ActionOnWire.SKIP,
}

/** Errors: those of Administration, and `unavailable` and `deadline_exceeded` when no server answers. */
export class AdministrationClient implements Administration {
  readonly #makeCall: MakeCall

  constructor(makeCall: MakeCall) {
    this.#makeCall = makeCall
  }

  async journey({ id, source = '' }: EventName): Promise<Journey> {
    return journeyOfWire(await this.#call('GetEvent', GetEventRequestSchema, { id, source }, GetEventResponseSchema))
  }

  async listDeadLetters({ limit, cursor = '', ...filter }: DeadLetterQuery): Promise<DeadLetterPage> {
    const request = { filter: filterOnWire(filter), limit, cursor }
    const answer = await this.#call(
      'ListDeadLetters',
      ListDeadLettersRequestSchema,
      request,
      ListDeadLettersResponseSchema,
    )
    return { deadLetters: answer.deadLetters.map(deadLetterOfWire), nextCursor: answer.nextCursor || null }
  }

  async groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]> {
    const request = { filter: filterOnWire(filter), byCause: true }
    const { causes } = await this.#call(
      'ListDeadLetters',
      ListDeadLettersRequestSchema,
      request,
      ListDeadLettersResponseSchema,
    )
    return causes.map(causeOfWire)
  }

  async getDeadLetter(deadLetterId: string): Promise<DeadLetterDetail> {
    return detailOfWire(
      await this.#call('GetDeadLetter', GetDeadLetterRequestSchema, { deadLetterId }, GetDeadLetterResponseSchema),
    )
  }

  async redriveDeadLetters(request: RedriveRequest, options: WorkOptions = {}): Promise<RedriveAnswer> {
    const { filter, rate, isDryRun, edit, cursor = '' } = request
    const answer = await this.#call(
      'RedriveDeadLetters',
      RedriveDeadLettersRequestSchema,
      {
        filter: filterOnWire(filter),
        rate,
        dryRun: isDryRun,
        ...(edit === undefined ? {} : { data: edit.data, dataContentType: edit.contentType ?? '' }),
        cursor,
      },
      RedriveDeadLettersResponseSchema,
      options,
    )
    return {
      matched: Number(answer.matched),
      redriven: Number(answer.redriven),
      skipped: Number(answer.skipped),
      failedAgain: Number(answer.failedAgain),
      stopped: answer.stopped || null,
      nextCursor: answer.nextCursor || null,
    }
  }

  async deleteDeadLetters(
    filter: DeadLetterFilter,
    isDryRun: boolean,
    options: WorkOptions = {},
  ): Promise<DeleteAnswer> {
    const { matched, deleted } = await this.#call(
      'DeleteDeadLetters',
      DeleteDeadLettersRequestSchema,
      { filter: filterOnWire(filter), dryRun: isDryRun },
      DeleteDeadLettersResponseSchema,
      options,
    )
    return { matched: Number(matched), deleted: Number(deleted) }
  }

  async replay(request: ReplayRequest, options: WorkOptions = {}): Promise<ReplayAnswer> {
    const { topic, group, sinceMicros, from = '', type = '', rate, isDryRun, cursor = '' } = request
    const { replayed, nextCursor } = await this.#call(
      'Replay',
      ReplayRequestSchema,
      {
        topic,
        group,
        ...(sinceMicros === undefined ? {} : { since: timestampOf(sinceMicros) }),
        from,
        type,
        rate,
        dryRun: isDryRun,
        cursor,
      },
      ReplayResponseSchema,
      options,
    )
    return { replayed: Number(replayed), nextCursor: nextCursor || null }
  }

  async pauseGroup({ topic, group }: GroupName, reason: string): Promise<void> {
    await this.#call('PauseGroup', PauseGroupRequestSchema, { topic, group, reason }, PauseGroupResponseSchema)
  }

  async resumeGroup({ topic, group }: GroupName, rate = 0): Promise<void> {
    await this.#call('ResumeGroup', ResumeGroupRequestSchema, { topic, group, rate }, ResumeGroupResponseSchema)
  }

  async deleteGroup({ topic, group }: GroupName): Promise<DeleteGroupAnswer> {
    const { abandoned } = await this.#call(
      'DeleteGroup',
      DeleteGroupRequestSchema,
      { topic, group },
      DeleteGroupResponseSchema,
    )
    return { abandoned: Number(abandoned) }
  }

  async heldKeys({ topic, group }: GroupName, limit: number): Promise<HeldKeys> {
    const { keys, hasMore } = await this.#call(
      'ListHeldKeys',
      ListHeldKeysRequestSchema,
      { topic, group, limit },
      ListHeldKeysResponseSchema,
    )
    return { keys: keys.map(heldKeyOfWire), hasMore }
  }

  async releaseKey({ topic, group }: GroupName, key: string, action: ReleaseAction): Promise<void> {
    const message = { topic, group, key, action: actionOnWire[action] }
    await this.#call('ReleaseKey', ReleaseKeyRequestSchema, message, ReleaseKeyResponseSchema)
  }

  #call<Request extends DescMessage, Response extends DescMessage>(
    method: string,
    requestSchema: Request,
    request: MessageInitShape<Request>,
    responseSchema: Response,
    options: WorkOptions = {},
  ): Promise<MessageShape<Response>> {
    const bytes = Buffer.from(toBinary(requestSchema, create(requestSchema, request)))
    const decode = (answer: Buffer) => fromBinary(responseSchema, answer)
    return this.#makeCall(`millrace.v1.AdminService/${method}`, bytes, decode, options)
  }
}

/** Throws `invalid_event` for an empty condition, which the wire cannot distinguish from an absent one. */
function filterOnWire(filter: DeadLetterFilter): MessageInitShape<typeof DeadLetterFilterSchema> {
  const { deadLetterIds, topic, group, type, code, sinceMicros, untilMicros, isRedriven } = filter
  const given = { dead_letter_ids: deadLetterIds, topic, group, type, code }
  for (const [field, value] of Object.entries(given)) {
    if (value !== undefined && value.length === 0) {
      throw new MillraceError('invalid_event', `${field} is empty: leave it out, or give a value`, { field })
    }
  }
  return {
    deadLetterIds: [...(deadLetterIds ?? [])],
    topic: topic ?? '',
    group: group ?? '',
    type: type ?? '',
    code: code ?? '',
    ...(sinceMicros === undefined ? {} : { since: timestampOf(sinceMicros) }),
    ...(untilMicros === undefined ? {} : { until: timestampOf(untilMicros) }),
    ...(isRedriven === undefined ? {} : { redriven: isRedriven }),
  }
}
