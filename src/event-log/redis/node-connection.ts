// One connection to one server: sends commands, each with a deadline, and connects again when it is lost.
//
// node-redis speaks the protocol. It keeps two rules here: what was written is never sent again, and while there is no
// connection commands fail at once.

import type { NodeAddress } from '../../config/redis-url.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Reply } from './redis-connection.ts'

const reconnectPolicy = { baseMs: 100, maxMs: 5_000 }

/** What is used of a client of node-redis. */
type Client = ReturnType<typeof import('redis')['createClient']>

/** The one thing of it that is used for commands. */
interface Sender {
  sendCommand(words: readonly (string | Buffer)[]): Promise<unknown>
}

type ClientOptions = NonNullable<Parameters<Client['duplicate']>[0]>

/** Makes clients whose strings are bytes. */
export type ClientFactory = (options: ClientOptions) => { readonly client: Client; readonly sender: Sender }

/** Takes 150 ms, so only those should pay for it who use Redis. */
export async function loadClientFactory(): Promise<ClientFactory> {
  const { createClient, RESP_TYPES } = await import('redis')
  // A client is of a class that is built for its options, which takes 40 ms; copies of one client share its class.
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
   * A command without an answer by then has an unknown outcome, and a server that says nothing for so long is given up: a
   * new connection is tried.
   */
  readonly maxReplyMs: number
}

export class NodeConnection {
  /** Resolves with the first connection; rejects when the first attempt fails, and goes on trying. */
  readonly opened: Promise<void>
  /** Resolves when the first attempt to connect has ended in either way. */
  readonly tried: Promise<void>
  readonly #client: Client
  readonly #sender: Sender
  readonly #maxReplyMs: number
  readonly #readyListeners: (() => void)[] = []
  readonly #lostListeners: ((error: unknown) => void)[] = []
  /** When a command had its last answer, by the clock that only goes forward. */
  #heardAtMs = 0
  #isReady = false
  #hasBeenReady = false
  #isClosed = false

  constructor({ makeClient, address, maxReplyMs }: NodeConnectionOptions) {
    const { host, port, isTls, username, password, database } = address
    const { client, sender } = makeClient({
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(database === undefined ? {} : { database }),
      // No command here waits for anything, and a PING comes between: so silence means that nobody is there.
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
      this.#isReady = true
      for (const listener of this.#readyListeners) listener()
      this.#hasBeenReady = true
    })
    client.on('error', (error) => this.#lose(error))
    // Failures come as events.
    client.connect().catch(() => {})
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** False until the first connection has been made, and in the listeners that are told of it. */
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

  /** Rejects with what the server or the client said. Commands that are sent in one turn go out without others between. */
  send(words: readonly (string | Buffer)[]): Promise<Reply> {
    const heard = () => {
      this.#heardAtMs = performance.now()
    }
    const reply = this.#sender.sendCommand(words)
    reply.then(heard, heard)
    return this.#byDeadline(reply, () => this.#giveUpIfSilent()) as Promise<Reply>
  }

  /**
   * Listens to a channel of this server, also after a reconnect; the same listener again changes nothing. No commands can
   * be sent any more.
   */
  async subscribe(channel: string, onMessage: () => void): Promise<void> {
    await this.#byDeadline(this.#client.sSubscribe(channel, onMessage))
  }

  async unsubscribe(channel: string): Promise<void> {
    await this.#byDeadline(this.#client.sUnsubscribe(channel))
  }

  /** Called when the server says that a channel does not live there any more. */
  onChannelMoved(listener: () => void): void {
    this.#client.on('sharded-channel-moved', listener)
    this.#client.on('__MOVED', listener)
  }

  /** Lets go of the connection at once. Idempotent. */
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

  /** The client takes its own writes for a sign of life: with traffic it would never give up a server that stands still. */
  #giveUpIfSilent(): void {
    if (this.#isClosed || !this.#isReady || performance.now() - this.#heardAtMs < this.#maxReplyMs) return
    this.#isReady = false
    this.#client.destroy()
    const error = new Error(`nothing was heard for ${this.#maxReplyMs} ms`)
    for (const listener of this.#lostListeners) listener(error)
    // Failures come as events.
    this.#client.connect().catch(() => {})
  }

  #byDeadline<T>(promise: Promise<T>, onLate = () => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => {
        reject(new Error(`no answer within ${this.#maxReplyMs} ms`))
        onLate()
      }
      const timer = setTimeout(late, this.#maxReplyMs)
      promise.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }
}
