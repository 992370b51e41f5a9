// IngestService.PublishStream: any number of messages, one summary at the end.
//
// The stream ends with OK whatever the verdicts on its events, unless a message is unreadable or has an unknown
// outcome, or the server stops. Then the status has the summary in its details.

import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { MillraceError, Taken } from '../../errors.ts'
import { Durability, type RejectionSchema } from '../../gen/millrace/v1/ingest_pb.ts'
import { isVerdictOnEvents } from '../call-verdict.ts'
import { grpcStatus } from '../status.ts'
import { toDurability, toRejection, toSummary } from '../wire.ts'
import { richStatusOf } from './rich-status.ts'
import type { ReadMessage, StreamAnswers } from './stream-intake.ts'

const maxListedRejections = 1000

/** Counts the verdicts on the events of a call. */
class StreamSummary {
  #accepted = 0
  #dropped = 0
  #rejected = 0
  durability: Durability = Durability.UNSPECIFIED
  /** The first 1,000. */
  readonly rejections: MessageInitShape<typeof RejectionSchema>[] = []

  get taken(): Taken {
    return { accepted: this.#accepted, dropped: this.#dropped, rejected: this.#rejected }
  }

  add(message: ReadMessage): void {
    const { verdict, failure, firstIndex } = message
    if (verdict !== null) {
      this.#accepted += verdict.accepted
      this.#dropped += verdict.dropped
      this.#rejected += verdict.rejections.length
      this.durability = toDurability(verdict.durability)
      const room = maxListedRejections - this.rejections.length
      for (const rejection of verdict.rejections.slice(0, room)) {
        this.rejections.push(toRejection(rejection, firstIndex, 0))
      }
    } else if (failure !== null) {
      this.#rejected += message.events
      const room = Math.min(maxListedRejections - this.rejections.length, message.events)
      for (let index = 0; index < room; index++) {
        const { code, message: reason } = failure
        this.rejections.push(toRejection({ index, id: '', code, message: reason }, firstIndex, 0))
      }
    }
  }
}

export class PublishStreamAnswers implements StreamAnswers {
  readonly hasRoom = true
  readonly answersAll = true
  readonly #call: ServerInterceptingCallInterface
  readonly #summary = new StreamSummary()

  constructor(call: ServerInterceptingCallInterface) {
    this.#call = call
  }

  identify(): undefined {
    return undefined
  }

  answer(message: ReadMessage): MillraceError | null {
    const { failure } = message
    if (failure?.outcomeUnknown) return failure
    this.#summary.add(message)
    return failure === null || isVerdictOnEvents(failure.code) ? null : failure
  }

  flush(): void {
    // The only answer is sent at the end.
  }

  end(failure: MillraceError | null): void {
    const { taken, rejections, durability } = this.#summary
    if (failure !== null) {
      this.#call.sendStatus(richStatusOf(failure.withTaken(taken), [], rejections))
      return
    }
    this.#call.sendMessage(toSummary(taken, rejections, durability), () => {
      this.#call.sendStatus({ code: grpcStatus.OK, details: 'OK', metadata: null })
    })
  }
}
