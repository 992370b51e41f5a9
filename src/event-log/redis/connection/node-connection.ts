// One connection to one server: sends commands, each with a deadline, and reconnects when it is lost.
//
// node-redis implements the protocol, configured so that a written command is never resent and that commands fail at
// once while there is no connection.

import type { NodeAddress } from '../../../config/redis-url.ts'
import { backoffMs } from '../../../lib/backoff.ts'
import type { Reply } from './redis-connection.ts'

const reconnectPolicy = { baseMs: 100, maxMs: 5_000 }

/** A node-redis client. */
type Client = ReturnType<typeof import('redis')['createClient']>

/** The only method used for commands. */
interface Sender {
  sendCommand(words: readonly (string | Buffer)[]): Promise<unknown>
}

type ClientOptions = NonNullable<Parameters<Client['duplicate']>[0]>

/** Creates clients that return strings as Buffers. */
export type ClientFactory = (options: ClientOptions) => { readonly client: Client; readonly sender: Sender }

/** The import takes 150 ms, so it happens only when Redis is used. */
export async function loadClientFactory(): Promise<ClientFactory> {
  const { createClient, RESP_TYPES } = await import('redis')
  // createClient builds a class for its options, which takes 40 ms; duplicates of a client share its class.
  const template = createClient({ RESP: 2, disableOfflineQueue: true })
  return (options) => {
    const client = template.duplicate(options as object)
    const sender = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
    return { client: client as unknown as Client, sender: sender as unknown as Sender }
  }
}

export interface NodeConnectionOptions {
  readonly makeClient: ClientFactory
  readonly address: NodeAddress
  /**
   * A command without a reply within this time has an unknown outcome; a connection without any reply for this long is
   * closed and reopened.
   */
  readonly maxReplyMs: number
}

export class NodeConnection {
  /** Resolves when first connected; rejects when the first attempt fails, while later attempts continue. */
  readonly opened: Promise<void>
  /** Resolves when the first attempt to connect has succeeded or failed. */
  readonly tried: Promise<void>
  readonly #client: Client
  readonly #sender: Sender
  readonly #maxReplyMs: number
  readonly #readyListeners: (() => void)[] = []
  readonly #lostListeners: ((error: unknown) => void)[] = []
  /** Time of the last reply, by a monotonic clock. */
  #lastReplyAtMs = 0
  #isReady = false
  #hasBeenReady = false
  #isClosed = false

  constructor({ makeClient, address, maxReplyMs }: NodeConnectionOptions) {
    const { host, port, isTls, username, password, database } = address
    const { client, sender } = makeClient({
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(database === undefined ? {} : { database }),
      // No command blocks and a PING is sent regularly, so silence means that the server hangs or is unreachable.
      pingInterval: maxReplyMs / 2,
      socket: {
        ...{ host, port, connectTimeout: maxReplyMs, socketTimeout: maxReplyMs },
        ...(isTls === true ? { tls: true } : {}),
        reconnectStrategy: (retries: number) =>
          this.#isClosed ? false : backoffMs(retries + 1, reconnectPolicy, 0.5 + Math.random() / 2),
      },
    })
    this.#client = client
    this.#sender = sender
    this.#maxReplyMs = maxReplyMs
    this.opened = new Promise((resolve, reject) => {
      client.on('ready', resolve)
      client.on('error', reject)
      client.on('end', () => reject(new Error('the connection was closed')))
    })
    this.tried = this.opened.catch(() => {})
    client.on('ready', () => {
      // node-redis goes on connecting when it is destroyed while its socket opens, and would keep that connection.
      if (this.#isClosed) return client.destroy()
      this.#isReady = true
      for (const listener of this.#readyListeners) listener()
      this.#hasBeenReady = true
    })
    client.on('error', (error) => this.#lose(error))
    // Failures are reported as events.
    client.connect().catch(() => {})
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** False until the first connection has been made, and still false in the `onReady` listeners of that one. */
  get hasBeenReady(): boolean {
    return this.#hasBeenReady
  }

  onReady(listener: () => void): void {
    this.#readyListeners.push(listener)
  }

  /** Called once for each connection that is lost. */
  onLost(listener: (error: unknown) => void): void {
    this.#lostListeners.push(listener)
  }

  /** Rejects with the unmapped error of the server or the client. Commands sent in one turn are sent consecutively. */
  send(words: readonly (string | Buffer)[]): Promise<Reply> {
    const noteReply = () => {
      this.#lastReplyAtMs = performance.now()
    }
    const reply = this.#sender.sendCommand(words)
    reply.then(noteReply, noteReply)
    return this.#withDeadline(reply, () => this.#dropIfSilent()) as Promise<Reply>
  }

  /**
   * Subscribes to a channel of this server, also after a reconnect; idempotent for the same listener. Afterwards no
   * commands can be sent on this connection.
   */
  async subscribe(channel: string, onMessage: (message: Buffer) => void): Promise<void> {
    await this.#withDeadline(this.#client.sSubscribe(channel, onMessage, true))
  }

  async unsubscribe(channel: string): Promise<void> {
    await this.#withDeadline(this.#client.sUnsubscribe(channel))
  }

  /** The listener is called when the server reports that it no longer has the slot of a channel. */
  onChannelMoved(listener: () => void): void {
    this.#client.on('sharded-channel-moved', listener)
    this.#client.on('__MOVED', listener)
  }

  /** Closes the connection at once; commands in flight fail. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isReady = false
    this.#client.destroy()
  }

  #lose(error: unknown): void {
    if (!this.#isReady || this.#client.isReady || this.#isClosed) return
    this.#isReady = false
    for (const listener of this.#lostListeners) listener(error)
  }

  /** node-redis counts its own writes as activity: with traffic it would never drop a server that hangs. */
  #dropIfSilent(): void {
    if (this.#isClosed || !this.#isReady || performance.now() - this.#lastReplyAtMs < this.#maxReplyMs) return
    this.#isReady = false
    this.#client.destroy()
    const error = new Error(`no reply for ${this.#maxReplyMs} ms`)
    for (const listener of this.#lostListeners) listener(error)
    // Failures are reported as events.
    this.#client.connect().catch(() => {})
  }

  #withDeadline<T>(promise: Promise<T>, onLate = () => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => {
        reject(new Error(`no reply within ${this.#maxReplyMs} ms`))
        onLate()
      }
      const timer = setTimeout(late, this.#maxReplyMs)
      promise.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }
}
