// Brings numbered messages to the server, across cuts.
//
// Job: one Produce call at a time; write what may be written; after a cut connect again and write from the last
// acknowledgement on the very same bytes; give up after a bounded time without a server.
// Not its job: making messages (publisher.ts), counting verdicts (publish-tally.ts).
//
// It is in one of five states, and #enter is the only way from one to another:
//   idle        nothing to bring, no call
//   connecting  waits for a connection
//   open        has a call
//   pausing     waits before it connects again
//   ended       closed or failed; for good

import type { Client as GrpcClient } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../errors.ts'
import type { ProduceResponse } from '../gen/millrace/v1/ingest_pb.ts'
import { backoffMs } from '../lib/backoff.ts'
import { ProduceCall } from './produce-call.ts'
import { type OutgoingMessage, SendWindow } from './send-window.ts'
import type { ServerConnection } from './server-connection.ts'

export interface DeliveryOptions {
  readonly producerId: string
  /** How many messages may be written and not acknowledged. */
  readonly maxUnackedMessages: number
  /** How long to go on without a server, counted from the last acknowledgement and only while there is no call. */
  readonly giveUpAfterMs: number
  /** How long a call may be without any acknowledgement before it counts as cut; null: for ever. */
  readonly stallAfterMs: number | null
  /** Milliseconds of a clock that never goes back. */
  readonly monotonicNow: () => number
  /** From 0 to below 1. */
  readonly random: () => number
}

export interface DeliveryListener {
  /** The server has answered; `ackedEvents` is how many events it has acknowledged by this. */
  onResponse(ackedEvents: number, response: ProduceResponse): void
  /** More may be handed over, or written. */
  onRoom(): void
  /** The call was cut, or no server answers; it is tried again. */
  onCut(error: MillraceError): void
  /** Given up for good. */
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
  #state: State = { name: 'idle' }
  #attempt = 0
  /** How long there was no call since the last acknowledgement, the present spell not counted. */
  #awayMs = 0
  #awaySince: number | null = null
  #giveUpTimer: NodeJS.Timeout | undefined
  #stallTimer: NodeJS.Timeout | undefined
  #lastError: MillraceError | null = null
  #isFinishing = false
  readonly #whenEnded = Promise.withResolvers<void>()

  constructor(connection: ServerConnection, options: DeliveryOptions, listener: DeliveryListener) {
    this.#connection = connection
    this.#options = options
    this.#listener = listener
  }

  send(message: OutgoingMessage): void {
    this.window.push(message)
    if (this.#state.name === 'idle') this.#connect()
    else this.#pump()
  }

  /** Ends the call in good order. Everything must be acknowledged by then. */
  async finish(): Promise<void> {
    if (this.#state.name !== 'open') return this.abort()
    this.#isFinishing = true
    this.#state.call.finish()
    const timer = setTimeout(() => this.abort(), finishWithinMs)
    await this.#whenEnded.promise
    clearTimeout(timer)
  }

  /** Lets go of everything at once. What is not acknowledged stays so. */
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
    const call = new ProduceCall(client, this.#options.producerId, {
      onResponse: (response) => {
        if (this.#isCurrent(call)) this.#onResponse(response)
      },
      onRoom: () => {
        if (this.#isCurrent(call)) this.#pump()
      },
      onEnd: (error) => {
        if (this.#isCurrent(call)) this.#onEnd(client, error)
      },
    })
    this.#enter({ name: 'open', call, client })
    this.#pump()
  }

  /** A call that was given up may still have something to say: nobody listens to it any more. */
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
    let ackedEvents: number
    try {
      ackedEvents = this.window.acknowledge(Number(response.ackedThrough))
    } catch (error) {
      this.#fail(toMillraceError(error))
      return
    }
    if (ackedEvents > 0) {
      this.#attempt = 0
      this.#awayMs = 0
      if (this.window.writtenCount > 0) this.#stallTimer?.refresh()
      else this.#disarmStallTimer()
    }
    this.#listener.onResponse(ackedEvents, response)
    this.#pump()
  }

  #onEnd(client: GrpcClient, error: MillraceError): void {
    this.window.rewind()
    if (this.#isFinishing) {
      this.#enter({ name: 'ended' })
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
      this.#awayMs += stallAfterMs
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
    this.#countAway(state.name === 'connecting' || state.name === 'pausing')
    if (state.name === 'ended') this.#whenEnded.resolve()
  }

  /** Counts the time without a call, and gives up when it is too long. */
  #countAway(isAway: boolean): void {
    const now = this.#options.monotonicNow()
    if (isAway && this.#awaySince === null) {
      this.#awaySince = now
      const remainingMs = Math.max(0, this.#options.giveUpAfterMs - this.#awayMs)
      this.#giveUpTimer = setTimeout(() => this.#giveUp(), remainingMs)
    } else if (!isAway && this.#awaySince !== null) {
      this.#awayMs += now - this.#awaySince
      this.#awaySince = null
      clearTimeout(this.#giveUpTimer)
    }
  }
}

/** Messages are numbered, so sending them again is safe after anything but a refusal of the call itself. */
function mayTryAgain(error: MillraceError): boolean {
  return error.retryable || error.code === 'internal'
}
