// AdminService: each method calls the pipeline once and converts its result to a wire message.

import { create } from '@bufbuild/protobuf'
import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import {
  type DeleteDeadLettersRequest,
  DeleteDeadLettersResponseSchema,
  type DeleteGroupRequest,
  DeleteGroupResponseSchema,
  type GetDeadLetterRequest,
  GetDeadLetterResponseSchema,
  type GetEventRequest,
  GetEventResponseSchema,
  GetStatusResponseSchema,
  type ListDeadLettersRequest,
  ListDeadLettersResponseSchema,
  type ListHeldKeysRequest,
  ListHeldKeysResponseSchema,
  type PauseGroupRequest,
  PauseGroupResponseSchema,
  type RedriveDeadLettersRequest,
  RedriveDeadLettersResponseSchema,
  type ReleaseKeyRequest,
  ReleaseKeyResponseSchema,
  type ReplayRequest,
  ReplayResponseSchema,
  type ResumeGroupRequest,
  ResumeGroupResponseSchema,
  WatchStatusResponseSchema,
} from '../../gen/millrace/v1/admin_pb.ts'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import {
  actionOfMessage,
  filterOfMessage,
  groupOfMessage,
  redriveOfMessage,
  replayOfMessage,
  toCauseMessage,
  toDeadLetterMessage,
  toDetailMessage,
  toHeldKeyMessage,
  toJourneyMessage,
} from '../administration-wire.ts'
import { toObservedMessage } from '../observed-wire.ts'
import { toStatusMessage } from '../wire.ts'
import { unary } from './unary.ts'
import { watchStatus } from './watch-status.ts'

const defaultLimit = 100

export function adminHandlers(pipeline: Pipeline): UntypedServiceImplementation {
  const { administration } = pipeline
  return {
    getStatus: unary(GetStatusResponseSchema, async () => ({ status: toStatusMessage(await pipeline.status()) })),
    watchStatus: watchStatus(async () =>
      create(WatchStatusResponseSchema, toObservedMessage(await pipeline.observe())),
    ),
    getEvent: unary(GetEventResponseSchema, async ({ id, source }: GetEventRequest) =>
      toJourneyMessage(await administration.journey({ id, source: source || undefined })),
    ),
    listDeadLetters: unary(ListDeadLettersResponseSchema, async (request: ListDeadLettersRequest) => {
      const filter = filterOfMessage(request.filter)
      if (request.byCause) return { causes: (await administration.groupDeadLetters(filter)).map(toCauseMessage) }
      const { limit, cursor } = request
      const query = { ...filter, limit: limit || defaultLimit, cursor: cursor || undefined }
      const { deadLetters, nextCursor } = await administration.listDeadLetters(query)
      return { deadLetters: deadLetters.map(toDeadLetterMessage), nextCursor: nextCursor ?? '' }
    }),
    getDeadLetter: unary(GetDeadLetterResponseSchema, async ({ deadLetterId }: GetDeadLetterRequest) =>
      toDetailMessage(await administration.getDeadLetter(deadLetterId)),
    ),
    redriveDeadLetters: unary(
      RedriveDeadLettersResponseSchema,
      async (request: RedriveDeadLettersRequest, signal: AbortSignal) => {
        const answer = await administration.redriveDeadLetters(redriveOfMessage(request), { signal })
        return {
          matched: BigInt(answer.matched),
          redriven: BigInt(answer.redriven),
          skipped: BigInt(answer.skipped),
          failedAgain: BigInt(answer.failedAgain),
          stopped: answer.stopped ?? '',
          nextCursor: answer.nextCursor ?? '',
        }
      },
    ),
    deleteDeadLetters: unary(
      DeleteDeadLettersResponseSchema,
      async ({ filter, dryRun }: DeleteDeadLettersRequest, signal: AbortSignal) => {
        const chosen = filterOfMessage(filter)
        const { matched, deleted } = await administration.deleteDeadLetters(chosen, dryRun, { signal })
        return { matched: BigInt(matched), deleted: BigInt(deleted) }
      },
    ),
    replay: unary(ReplayResponseSchema, async (request: ReplayRequest, signal: AbortSignal) => {
      const { replayed, nextCursor } = await administration.replay(replayOfMessage(request), { signal })
      return { replayed: BigInt(replayed), nextCursor: nextCursor ?? '' }
    }),
    pauseGroup: unary(PauseGroupResponseSchema, async (request: PauseGroupRequest) => {
      await administration.pauseGroup(groupOfMessage(request), request.reason)
      return {}
    }),
    resumeGroup: unary(ResumeGroupResponseSchema, async (request: ResumeGroupRequest) => {
      await administration.resumeGroup(groupOfMessage(request), request.rate || undefined)
      return {}
    }),
    deleteGroup: unary(DeleteGroupResponseSchema, async (request: DeleteGroupRequest) => {
      const { abandoned } = await administration.deleteGroup(groupOfMessage(request))
      return { abandoned: BigInt(abandoned) }
    }),
    listHeldKeys: unary(ListHeldKeysResponseSchema, async (request: ListHeldKeysRequest) => {
      const { keys, hasMore } = await administration.heldKeys(groupOfMessage(request), request.limit || defaultLimit)
      return { keys: keys.map(toHeldKeyMessage), hasMore }
    }),
    releaseKey: unary(ReleaseKeyResponseSchema, async (request: ReleaseKeyRequest) => {
      await administration.releaseKey(groupOfMessage(request), request.key, actionOfMessage(request))
      return {}
    }),
  }
}
