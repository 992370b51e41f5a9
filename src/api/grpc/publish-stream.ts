// IngestService.PublishStream: any number of messages, one summary at the end.
//
// The stream ends with OK whatever the verdicts on its events, unless a message is unreadable or has an unknown
// outcome, or the server stops. Then the status has the summary in its details.

import type { ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { MillraceError } from '../../errors.ts'
import { Durability } from '../../gen/millrace/v1/ingest_pb.ts'
import { toDurability, toRejection, toSummary } from '../../wire/publish.ts'
import { CallCounts, countsOf, type MessageCounts, rejectionsOf } from '../call-counts.ts'
import { isVerdictOnEvents } from '../call-verdict.ts'
import { grpcStatus } from '../status.ts'
import { richStatusOf } from './rich-status.ts'
import type { ReadMessage, StreamAnswers } from './stream-intake.ts'

export class PublishStreamAnswers implements StreamAnswers {
  readonly hasRoom = true
  readonly answersAll = true
  readonly #call: ServerInterceptingCallInterface
  readonly #counts = new CallCounts()
  #durability: Durability = Durability.UNSPECIFIED

  constructor(call: ServerInterceptingCallInterface) {
    this.#call = call
  }

  identify(): undefined {
    return undefined
  }

  answer(message: ReadMessage): MillraceError | null {
    const { verdict, failure } = message
    if (failure?.outcomeUnknown) return failure
    if (verdict !== null) this.#durability = toDurability(verdict.durability)
    const endsCall = failure !== null && !isVerdictOnEvents(failure.code)
    this.#counts.add(countsOfMessage(message), endsCall)
    return endsCall ? failure : null
  }

  flush(): void {
    // The only answer is sent at the end.
  }

  end(failure: MillraceError | null): void {
    const { taken } = this.#counts
    const rejections = this.#counts.rejections.map((rejection) => toRejection(rejection, 0, 0))
    if (failure !== null) {
      this.#call.sendStatus(richStatusOf(failure.withTaken(taken), [], rejections))
      return
    }
    this.#call.sendMessage(toSummary(taken, rejections, this.#durability), () => {
      this.#call.sendStatus({ code: grpcStatus.OK, details: 'OK', metadata: null })
    })
  }
}

/** A rejection's index is that of its event in the call. */
function countsOfMessage({ verdict, failure, firstIndex, events }: ReadMessage): MessageCounts {
  if (verdict !== null) {
    const rejections = verdict.rejections.map((each) => ({ ...each, index: firstIndex + each.index }))
    return countsOf({ ...verdict, rejections })
  }
  const rejections = rejectionsOf(failure as MillraceError, [{ index: firstIndex, count: events }])
  return { accepted: 0, dropped: 0, rejected: events, rejections }
}
