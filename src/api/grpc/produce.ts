// IngestService.Produce: numbered messages, acknowledged cumulatively while they arrive.
//
// Job: check the numbering; send acknowledgements, with at most one answer in flight, so that a slow reader gets fewer
// and larger ones.
// Not its job: recognising resends (the log does).

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import { Durability, ProduceResponseSchema, type RejectionSchema } from '../../gen/millrace/v1/ingest_pb.ts'
import type { PublishMessage } from '../../pipeline/pipeline.ts'
import { toDurability, toRejection } from '../../wire/publish.ts'
import { grpcStatus } from '../status.ts'
import type { MessageFields } from './message-fields.ts'
import { richStatusOf } from './rich-status.ts'
import type { ReadMessage, StreamAnswers } from './stream-intake.ts'

/** An answer with more rejections could exceed the maximum message size of clients. */
const maxRejectionsPerResponse = 1000

export class ProduceAnswers implements StreamAnswers {
  /** Acknowledgements are cumulative: none may be sent after a message that failed. */
  readonly answersAll = false
  readonly #call: ServerInterceptingCallInterface
  readonly #readMore: () => void
  #producerId = ''
  /** 0 before the first message. */
  #producerEpoch = 0
  /** 0 before the first message. */
  #lastSequence = 0

  #ackedThrough = 0
  #sentAckedThrough = 0
  #dropped = 0
  #durability: Durability = Durability.UNSPECIFIED
  #rejections: MessageInitShape<typeof RejectionSchema>[] = []
  #writeIsPending = false
  /** Undefined until the stream is over; then its error, or null after success. */
  #ended: MillraceError | null | undefined

  /** @param readMore called when there is room for more rejections again. */
  constructor(call: ServerInterceptingCallInterface, readMore: () => void) {
    this.#call = call
    this.#readMore = readMore
  }

  /** False stops reading from a producer that does not read its answers. */
  get hasRoom(): boolean {
    return this.#rejections.length < maxRejectionsPerResponse
  }

  identify({ producerId, producerEpoch, sequence }: MessageFields): PublishMessage['producer'] {
    if (producerId !== '') {
      if (this.#producerId !== '' && producerId !== this.#producerId) {
        throw wrongField('producer_id', 'producer_id has changed: all messages of a call must have the same one')
      }
      this.#producerId = producerId
    }
    if (this.#producerId === '') {
      throw wrongField('producer_id', 'producer_id is empty: set it in the first message of a call')
    }
    this.#identifyEpoch(producerEpoch)
    if (sequence < 1) throw wrongField('sequence', 'sequence is missing: number the messages from 1')
    if (sequence > Number.MAX_SAFE_INTEGER) {
      throw wrongField('sequence', `sequence is too large; the limit is ${Number.MAX_SAFE_INTEGER}`)
    }
    if (this.#lastSequence !== 0 && sequence !== this.#lastSequence + 1) {
      const problem = `sequence is ${sequence} after ${this.#lastSequence}: each message must be one higher than the last`
      throw wrongField('sequence', problem)
    }
    if (this.#lastSequence === 0) this.#sentAckedThrough = this.#ackedThrough = sequence - 1
    this.#lastSequence = sequence
    return { id: this.#producerId, epoch: this.#producerEpoch, sequence }
  }

  #identifyEpoch(producerEpoch: number): void {
    if (producerEpoch === 0) {
      if (this.#producerEpoch !== 0) return
      const problem =
        'producer_epoch is missing: set it in the first message of a call, at least 1 and higher at each start of the ' +
        'producer, such as its start time in milliseconds'
      throw wrongField('producer_epoch', problem)
    }
    if (producerEpoch > Number.MAX_SAFE_INTEGER) {
      throw wrongField('producer_epoch', `producer_epoch is too large; the limit is ${Number.MAX_SAFE_INTEGER}`)
    }
    if (this.#producerEpoch !== 0 && producerEpoch !== this.#producerEpoch) {
      throw wrongField('producer_epoch', 'producer_epoch has changed: all messages of a call must have the same one')
    }
    this.#producerEpoch = producerEpoch
  }

  answer({ verdict, failure, sequence }: ReadMessage): MillraceError | null {
    if (verdict === null) return failure
    this.#ackedThrough = sequence
    this.#dropped += verdict.dropped
    this.#durability = toDurability(verdict.durability)
    for (const rejection of verdict.rejections) this.#rejections.push(toRejection(rejection, 0, sequence))
    return null
  }

  flush(): void {
    if (this.#writeIsPending) return
    if (this.#sentAckedThrough < this.#ackedThrough) {
      this.#writeIsPending = true
      this.#call.sendMessage(this.#nextResponse(), () => {
        this.#writeIsPending = false
        this.flush()
        this.#readMore()
      })
    } else if (this.#ended !== undefined) {
      this.#call.sendStatus(
        this.#ended === null ? { code: grpcStatus.OK, details: 'OK', metadata: null } : richStatusOf(this.#ended),
      )
    }
  }

  end(failure: MillraceError | null): void {
    this.#ended = failure
    this.flush()
  }

  /** Rejections are sent before or with the acknowledgement that they belong to. */
  #nextResponse(): MessageInitShape<typeof ProduceResponseSchema> {
    const rejections = this.#rejections.splice(0, maxRejectionsPerResponse)
    if (this.#rejections.length === 0) this.#sentAckedThrough = this.#ackedThrough
    const dropped = BigInt(this.#dropped)
    this.#dropped = 0
    return create(ProduceResponseSchema, {
      ackedThrough: BigInt(this.#sentAckedThrough),
      rejections,
      durability: this.#durability,
      dropped,
    })
  }
}

function wrongField(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', problem, { field })
}
