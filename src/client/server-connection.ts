// One connection to one of several servers.
//
// Job: try the addresses in turn until one answers, share that connection, and use the next address after it was
// dropped.
// Not its job: calls, their deadlines and resends (connect.ts, delivery.ts).

import { connectivityState, credentials, Client as GrpcClient, InterceptingCall, type Interceptor } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'

export interface ServerConnectionOptions {
  /** Called before each attempt, because a restarted server may listen on another port. */
  readonly addresses: () => readonly string[]
  /** Longest wait for one address, in milliseconds. */
  readonly connectTimeoutMs: number
  /** Sent with each call; null: none. */
  readonly key?: string | null
}

const channelOptions = {
  // Otherwise the channels of one process share a connection, and its backoff after a failed attempt.
  'grpc.use_local_subchannel_pool': 1,
  // Without keepalive, a peer that vanishes without closing the connection is never detected.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // Retries are decided here; grpc-js would keep a copy of each message for its own retries.
  'grpc.enable_retries': 0,
  // 100,000 rejections with their messages exceed the default of 4 MiB.
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': -1,
  // The proxy named in the environment must not be used for the connection to the server.
  'grpc.enable_http_proxy': 0,
} as const

export class ServerConnection {
  readonly #options: ServerConnectionOptions
  readonly #interceptors: Interceptor[]
  #current: GrpcClient | null = null
  #opening: Promise<GrpcClient> | null = null
  #attempt: GrpcClient | null = null
  #turn = 0
  #closed = false

  constructor(options: ServerConnectionOptions) {
    this.#options = options
    this.#interceptors = options.key == null ? [] : [sendKey(options.key)]
  }

  /**
   * Returns the current connection, or a new one to the first address that answers; each address is tried once.
   * Errors: `unavailable`, naming the addresses; `failed_precondition` once closed.
   */
  open(): Promise<GrpcClient> {
    if (this.#closed) return Promise.reject(closedError())
    if (this.#current !== null) {
      if (this.#current.getChannel().getConnectivityState(false) === connectivityState.READY) {
        return Promise.resolve(this.#current)
      }
      // The connection was lost while idle; a call on this channel would only retry the same address.
      this.drop(this.#current)
    }
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = null
    })
    return this.#opening
  }

  /** Drops a connection; running calls on it can still finish. The next open() starts with the next address. */
  drop(client: GrpcClient): void {
    if (client !== this.#current) return
    this.#current = null
    this.#turn++
    client.close()
  }

  close(): void {
    this.#closed = true
    this.#attempt?.close()
    this.#current?.close()
    this.#current = null
  }

  async #connect(): Promise<GrpcClient> {
    const addresses = this.#options.addresses()
    for (let tried = 0; tried < addresses.length; tried++) {
      const address = addresses[this.#turn % addresses.length]!
      const client = new GrpcClient(address, credentials.createInsecure(), {
        ...channelOptions,
        interceptors: this.#interceptors,
      })
      this.#attempt = client
      const isReady = await becomesReady(client, this.#options.connectTimeoutMs)
      this.#attempt = null
      if (isReady && !this.#closed) {
        this.#current = client
        return client
      }
      // When a peer accepts the connection and stays silent, grpc-js keeps the socket (unreferenced) until it sends
      // data.
      client.close()
      if (this.#closed) throw closedError()
      this.#turn++
    }
    throw new MillraceError('unavailable', `no Millrace server answers at ${addresses.join(', ')}`)
  }
}

function sendKey(key: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.set('authorization', `Bearer ${key}`)
        next(metadata, listener)
      },
    })
}

function closedError(): MillraceError {
  return new MillraceError('failed_precondition', 'the client is closed')
}

/** Whether the channel connects; false as soon as the attempt fails, the time is up or the channel is closed. */
function becomesReady(client: GrpcClient, timeoutMs: number): Promise<boolean> {
  const channel = client.getChannel()
  const deadline = Date.now() + timeoutMs
  return new Promise((resolve) => {
    const check = (): void => {
      const state = channel.getConnectivityState(true)
      if (state === connectivityState.READY) resolve(true)
      else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) resolve(false)
      else channel.watchConnectivityState(state, deadline, (error) => (error === undefined ? check() : resolve(false)))
    }
    check()
  })
}
