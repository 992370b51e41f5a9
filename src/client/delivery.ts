// Sends numbered messages to the server, across lost connections.
//
// Job: one Produce call at a time; write what the window allows; after a cut, reconnect and resend the same bytes from
// the last acknowledgement; give up after a bounded time without a server.
// Not its job: making messages (publisher.ts), counting verdicts (publish-tally.ts).
//
// It is in one of five states; only #enter changes the state:
//   idle        nothing to send, no call
//   connecting  waits for a connection
//   open        has a call
//   pausing     waits before it reconnects
//   ended       closed or failed; final

import type { Client as GrpcClient } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../errors.ts'
import type { ProduceResponse } from '../gen/millrace/v1/ingest_pb.ts'
import { backoffMs } from '../lib/backoff.ts'
import { ProduceCall } from './produce-call.ts'
import { answerOf, type ProducerAnswer } from './publish-tally.ts'
import { type OutgoingMessage, SendWindow } from './send-window.ts'
import type { ServerConnection } from './server-connection.ts'

export interface DeliveryOptions {
  readonly producerId: string
  /** The clock at the start of the producer: its epoch, in milliseconds since 1970. */
  readonly now: () => number
  /** How many messages may be written and not acknowledged. */
  readonly maxUnackedMessages: number
  /** How long to retry without a server: the total time without a call since the last acknowledgement. */
  readonly giveUpAfterMs: number
  /** How long a call may be without any acknowledgement before it counts as cut; null for no limit. */
  readonly stallAfterMs: number | null
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  /** From 0 to below 1. */
  readonly random: () => number
}

export interface DeliveryListener {
  /** The server has answered; the answer acknowledges `ackedEvents` events. */
  onResponse(ackedEvents: number, answer: ProducerAnswer): void
  /** More messages may be passed to send(), or can be written. */
  onRoom(): void
  /** The call was cut, or no server answers; it is retried. */
  onCut(error: MillraceError): void
  /** It has given up; final. */
  onFailed(error: MillraceError): void
}

type State =
  | { readonly name: 'idle' | 'connecting' | 'ended' }
  | { readonly name: 'open'; readonly call: ProduceCall; readonly client: GrpcClient }
  | { readonly name: 'pausing'; readonly timer: NodeJS.Timeout }

const finishWithinMs = 2000
const reconnectPolicy = { baseMs: 100, maxMs: 1000 }

export class Delivery {
  readonly window = new SendWindow()
  readonly #connection: ServerConnection
  readonly #options: DeliveryOptions
  readonly #listener: DeliveryListener
  #epoch: number
  /** Whether a refusal of the epoch is final: it has been acknowledged, or has been raised once. */
  #epochIsFinal = false
  #state: State = { name: 'idle' }
  #attempt = 0
  /** Time without a call since the last acknowledgement, without the current period. */
  #disconnectedMs = 0
  #disconnectedSince: number | null = null
  #giveUpTimer: NodeJS.Timeout | undefined
  #stallTimer: NodeJS.Timeout | undefined
  #lastError: MillraceError | null = null
  #isFinishing = false
  readonly #whenEnded = Promise.withResolvers<void>()

  constructor(connection: ServerConnection, options: DeliveryOptions, listener: DeliveryListener) {
    this.#connection = connection
    this.#options = options
    this.#listener = listener
    this.#epoch = options.now()
  }

  send(message: OutgoingMessage): void {
    this.window.push(message)
    if (this.#state.name === 'idle') this.#connect()
    else this.#pump()
  }

  /** Half-closes the call and waits for its end. Everything must be acknowledged before. */
  async finish(): Promise<void> {
    if (this.#state.name !== 'open') return this.abort()
    this.#isFinishing = true
    this.#state.call.finish()
    const timer = setTimeout(() => this.abort(), finishWithinMs)
    await this.#whenEnded.promise
    clearTimeout(timer)
  }

  /** Ends at once and cancels the call. Unacknowledged messages are not sent again. */
  abort(): void {
    const state = this.#state
    this.#enter({ name: 'ended' })
    if (state.name === 'open') state.call.cancel()
  }

  #connect(): void {
    const connecting: State = { name: 'connecting' }
    this.#enter(connecting)
    this.#connection.open().then(
      (client) => {
        if (this.#state === connecting) this.#open(client)
      },
      (error: unknown) => {
        if (this.#state === connecting) this.#tryAgain(toMillraceError(error))
      },
    )
  }

  #open(client: GrpcClient): void {
    const call = new ProduceCall(
      client,
      { id: this.#options.producerId, epoch: this.#epoch },
      {
        onResponse: (response) => {
          if (this.#isCurrent(call)) this.#onResponse(response)
        },
        onRoom: () => {
          if (this.#isCurrent(call)) this.#pump()
        },
        onEnd: (error) => {
          if (this.#isCurrent(call)) this.#onEnd(client, error)
        },
      },
    )
    this.#enter({ name: 'open', call, client })
    this.#pump()
  }

  /** An abandoned call can still emit events, which are ignored. */
  #isCurrent(call: ProduceCall): boolean {
    return this.#state.name === 'open' && this.#state.call === call
  }

  #pump(): void {
    if (this.#state.name !== 'open') return
    const { call } = this.#state
    while (!call.isFull && this.window.writtenCount < this.#options.maxUnackedMessages) {
      const message = this.window.nextToWrite()
      if (message === null) break
      call.write(message)
    }
    if (this.window.writtenCount > 0 && this.#stallTimer === undefined) this.#armStallTimer()
    this.#listener.onRoom()
  }

  #onResponse(response: ProduceResponse): void {
    // Before the messages with the ids of rejected events are let go.
    const answer = answerOf(response, (sequence) => this.window.bytesOf(sequence))
    let ackedEvents: number
    try {
      ackedEvents = this.window.acknowledge(Number(response.ackedThrough))
    } catch (error) {
      this.#fail(toMillraceError(error))
      return
    }
    if (ackedEvents > 0) {
      this.#attempt = 0
      this.#epochIsFinal = true
      this.#disconnectedMs = 0
      if (this.window.writtenCount > 0) this.#stallTimer?.refresh()
      else this.#disarmStallTimer()
    }
    this.#listener.onResponse(ackedEvents, answer)
    this.#pump()
  }

  #onEnd(client: GrpcClient, error: MillraceError): void {
    this.window.rewind()
    if (this.#isFinishing) {
      this.#enter({ name: 'ended' })
      return
    }
    if (error.highestProducerEpoch !== undefined && !this.#epochIsFinal) {
      // Another start of the producer had a faster clock.
      this.#epochIsFinal = true
      this.#epoch = Math.max(this.#options.now(), error.highestProducerEpoch + 1)
      this.#connect()
      return
    }
    this.#connection.drop(client)
    if (this.window.isEmpty && mayTryAgain(error)) this.#enter({ name: 'idle' })
    else this.#tryAgain(error)
  }

  #tryAgain(error: MillraceError): void {
    if (!mayTryAgain(error)) {
      this.#fail(error)
      return
    }
    this.#lastError = error
    const delayMs = backoffMs(++this.#attempt, reconnectPolicy, this.#options.random())
    const hintMs = error.code === 'backlogged' || error.code === 'disk_full' ? (error.retryAfterMs ?? 0) : 0
    const timer = setTimeout(() => this.#connect(), Math.max(delayMs, hintMs))
    this.#enter({ name: 'pausing', timer })
    this.#listener.onCut(error)
  }

  #giveUp(): void {
    const seconds = this.#options.giveUpAfterMs / 1000
    const reason = this.#lastError === null ? '' : ` (${this.#lastError.message})`
    this.#fail(new MillraceError('unavailable', `no server could be reached for ${seconds} s${reason}`))
  }

  #fail(error: MillraceError): void {
    this.abort()
    this.#listener.onFailed(error)
  }

  #armStallTimer(): void {
    const { stallAfterMs } = this.#options
    if (stallAfterMs === null) return
    this.#stallTimer = setTimeout(() => {
      const state = this.#state
      if (state.name !== 'open') return
      this.#disconnectedMs += stallAfterMs
      this.#onEnd(
        state.client,
        new MillraceError('unavailable', `the server acknowledged nothing for ${stallAfterMs / 1000} s`),
      )
      state.call.cancel()
    }, stallAfterMs)
  }

  #disarmStallTimer(): void {
    clearTimeout(this.#stallTimer)
    this.#stallTimer = undefined
  }

  #enter(state: State): void {
    if (this.#state.name === 'ended') {
      if (state.name === 'pausing') clearTimeout(state.timer)
      return
    }
    if (this.#state.name === 'pausing') clearTimeout(this.#state.timer)
    if (this.#state.name === 'open') this.#disarmStallTimer()
    this.#state = state
    this.#countDisconnected(state.name === 'connecting' || state.name === 'pausing')
    if (state.name === 'ended') this.#whenEnded.resolve()
  }

  /** Measures the time without a call, and gives up when it is too long. */
  #countDisconnected(isDisconnected: boolean): void {
    const now = this.#options.monotonicNow()
    if (isDisconnected && this.#disconnectedSince === null) {
      this.#disconnectedSince = now
      const remainingMs = Math.max(0, this.#options.giveUpAfterMs - this.#disconnectedMs)
      this.#giveUpTimer = setTimeout(() => this.#giveUp(), remainingMs)
    } else if (!isDisconnected && this.#disconnectedSince !== null) {
      this.#disconnectedMs += now - this.#disconnectedSince
      this.#disconnectedSince = null
      clearTimeout(this.#giveUpTimer)
    }
  }
}

/** Messages are numbered, so resending is safe after any error that does not refuse the call itself. */
function mayTryAgain(error: MillraceError): boolean {
  return error.retryable || error.code === 'internal'
}
