// IngestService.PublishStream: any number of messages, one summary at the end.
//
// The stream ends with OK whatever the verdicts on its events, unless a message is unreadable or has an unknown
// outcome.

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { MillraceError } from '../../errors.ts'
import {
  Durability,
  type PublishStreamResponse,
  PublishStreamResponseSchema,
  PublishStreamStatus,
  type RejectionSchema,
} from '../../gen/millrace/v1/ingest_pb.ts'
import { isVerdictOnEvents } from '../call-verdict.ts'
import { grpcStatus } from '../status.ts'
import { toDurability, toRejection } from '../wire.ts'
import { richStatusOf } from './rich-status.ts'
import type { ReadMessage, StreamAnswers } from './stream-intake.ts'

const maxListedRejections = 1000

/** Counts the verdicts on the events of a call. */
class StreamSummary {
  #accepted = 0
  #dropped = 0
  #rejected = 0
  #durability: Durability = Durability.UNSPECIFIED
  readonly #rejections: MessageInitShape<typeof RejectionSchema>[] = []

  add(message: ReadMessage): void {
    const { verdict, failure, firstIndex } = message
    if (verdict !== null) {
      this.#accepted += verdict.accepted
      this.#dropped += verdict.dropped
      this.#rejected += verdict.rejections.length
      this.#durability = toDurability(verdict.durability)
      const room = maxListedRejections - this.#rejections.length
      for (const rejection of verdict.rejections.slice(0, room)) {
        this.#rejections.push(toRejection(rejection, firstIndex, 0))
      }
    } else if (failure !== null) {
      this.#rejected += message.events
      const room = Math.min(maxListedRejections - this.#rejections.length, message.events)
      for (let index = 0; index < room; index++) {
        const { code, message: reason } = failure
        this.#rejections.push(toRejection({ index, id: '', code, message: reason }, firstIndex, 0))
      }
    }
  }

  toResponse(): PublishStreamResponse {
    const refused = this.#dropped + this.#rejected
    return create(PublishStreamResponseSchema, {
      received: BigInt(this.#accepted + refused),
      accepted: BigInt(this.#accepted),
      dropped: BigInt(this.#dropped),
      rejected: BigInt(this.#rejected),
      status:
        refused === 0
          ? PublishStreamStatus.ALL_ACCEPTED
          : this.#accepted > 0
            ? PublishStreamStatus.SOME_REFUSED
            : PublishStreamStatus.NONE_ACCEPTED,
      rejections: this.#rejections,
      durability: this.#durability,
    })
  }
}

export class PublishStreamAnswers implements StreamAnswers {
  readonly hasRoom = true
  readonly #call: ServerInterceptingCallInterface
  readonly #summary = new StreamSummary()

  constructor(call: ServerInterceptingCallInterface) {
    this.#call = call
  }

  identify(): undefined {
    return undefined
  }

  answer(message: ReadMessage): MillraceError | null {
    if (message.failure !== null && !isVerdictOnEvents(message.failure.code)) return message.failure
    this.#summary.add(message)
    return null
  }

  flush(): void {
    // The only answer is sent at the end.
  }

  end(failure: MillraceError | null): void {
    if (failure !== null) {
      this.#call.sendStatus(richStatusOf(failure))
      return
    }
    this.#call.sendMessage(this.#summary.toResponse(), () => {
      this.#call.sendStatus({ code: grpcStatus.OK, details: 'OK', metadata: null })
    })
  }
}
