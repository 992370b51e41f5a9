// A publish stream whose messages go directly to a StreamIntake, without a stream object of grpc-js.

import { ServerInterceptingCall, type ServerInterceptingCallInterface } from '@grpc/grpc-js'
import type { OpenCall, OpenCalls } from '../open-calls.ts'
import { traceOfMetadata } from './call-trace.ts'
import type { GuardedCall } from './guarded-call.ts'
import { type IntakeParts, type StreamAnswers, StreamIntake } from './stream-intake.ts'

/** @param readMore called by the answers when they have room again. */
export type MakeAnswers = (call: ServerInterceptingCallInterface, readMore: () => void) => StreamAnswers

export class IntakeCall extends ServerInterceptingCall implements OpenCall {
  readonly #call: GuardedCall
  readonly #openCalls: OpenCalls
  readonly #intake: StreamIntake

  constructor(call: GuardedCall, openCalls: OpenCalls, parts: IntakeParts, makeAnswers: MakeAnswers) {
    super(call)
    this.#call = call
    this.#openCalls = openCalls
    const answers = makeAnswers(call, () => this.#intake.readMore())
    this.#intake = new StreamIntake(call, parts, answers)
    call.onRefusedMessage = (failure) => this.#intake.refuse(failure)
    call.onEndedKey = (failure) => this.#intake.refuse(failure)
  }

  override start(): void {
    const intake = this.#intake
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        this.#openCalls.add(this)
        intake.begin(this.#call.caller!.pipeline, traceOfMetadata(metadata))
      },
      onReceiveMessage: (message: Buffer) => intake.receive(message),
      onReceiveHalfClose: () => intake.receiveEnd(),
      // Called at every end of a call, also after success.
      onCancel: () => {
        this.#openCalls.delete(this)
        intake.close()
      },
    })
  }

  drain(): void {
    this.#intake.drain()
  }
}
