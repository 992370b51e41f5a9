// Calls from the main thread to the worker thread that owns a database file: both ends of the message channel.
//
// node:sqlite has no asynchronous calls, so each database file has a worker thread for its calls. Requests are answered
// in the order in which they are sent. A message costs about 20 µs, so one request carries a whole group of batches, and
// the answers that are ready at the same time, or all requests of a turn, are one message.

import { isMainThread, type MessagePort, parentPort, type Transferable, Worker, workerData } from 'node:worker_threads'
import { SqliteFailure, type SqliteFailureKind, toSqliteFailure } from './failure.ts'
import { isFinal } from './flush-latch.ts'

/** The methods of a thread: name → argument and result, all of them plain data. */
export type Methods = Record<string, (argument: never) => unknown>

interface Request {
  readonly id: number
  readonly method: string
  readonly argument: unknown
}

type Response =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly kind: SqliteFailureKind; readonly message: string; readonly errcode: number }

interface PendingCall {
  readonly resolve: (value: never) => void
  readonly reject: (failure: SqliteFailure) => void
}

/** The main thread's end. `M` is the type of the methods object that the thread serves. */
export class DatabaseThread<M extends Methods> {
  readonly #worker: Worker
  readonly #joinsCalls: boolean
  readonly #pending = new Map<number, PendingCall>()
  /** Requests that are sent at the end of the turn. */
  #unsent: Request[] = []
  #transfers: Transferable[] = []
  #isSendingSoon = false
  #lastId = 0
  #closed: Promise<void> | null = null
  #failure: SqliteFailure | null = null
  #announceFailure: (failure: SqliteFailure) => void = () => {}

  /**
   * Called before the calls of a turn are sent, to make the last ones. When it returns false they are kept, and go with
   * those of the next `sendSoon`.
   */
  beforeSend: () => boolean = () => true

  /** Resolves when the database can no longer be used (see FlushLatch) or its thread has ended unexpectedly. */
  readonly failed: Promise<SqliteFailure> = new Promise((resolve) => {
    this.#announceFailure = resolve
  })

  /**
   * @param script the file that calls `serve`: a `.ts` source file or its built `.js`.
   * @param data the `workerData` of the script.
   * @param joinsCalls whether the calls of one turn of the event loop are sent together, at its end.
   */
  constructor(script: URL, data: unknown, joinsCalls = false) {
    this.#joinsCalls = joinsCalls
    this.#worker = new Worker(script, { workerData: data, resourceLimits: { maxYoungGenerationSizeMb: 64 } })
    this.#worker.on('message', (responses: readonly Response[]) => {
      for (const response of responses) this.#settle(response)
    })
    // Both count as a failed write: it is unknown what the thread has done.
    this.#worker.on('error', (error) => this.#fail(new SqliteFailure('io', error.message, 0, error)))
    this.#worker.on('exit', () => this.#fail(new SqliteFailure('io', 'the database thread has ended')))
    // An idle thread must not keep the process alive; only pending calls do.
    this.#worker.unref()
  }

  /**
   * Calls a method of the thread. Rejects with a SqliteFailure.
   * @param transfer buffers that move to the thread instead of being copied.
   */
  call<K extends keyof M & string>(
    method: K,
    argument: Parameters<M[K]>[0],
    transfer: readonly Transferable[] = [],
  ): Promise<Awaited<ReturnType<M[K]>>> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#worker.ref()
      this.#transfers.push(...transfer)
      this.#unsent.push({ id, method, argument })
      if (this.#joinsCalls) this.sendSoon()
      else this.#send()
    })
  }

  /** Calls `beforeSend` and sends at the end of this turn of the event loop. */
  sendSoon(): void {
    if (this.#isSendingSoon) return
    this.#isSendingSoon = true
    setImmediate(() => {
      this.#isSendingSoon = false
      if (this.beforeSend()) this.#send()
    })
  }

  #send(): void {
    if (this.#unsent.length === 0) return
    const requests = this.#unsent
    const transfers = this.#transfers
    this.#unsent = []
    this.#transfers = []
    this.#worker.postMessage(requests, transfers)
  }

  /** Ends the thread; pending calls reject. Call the thread's own close method first and await it. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async #end(): Promise<void> {
    this.#worker.removeAllListeners('exit')
    await this.#worker.terminate()
    this.#rejectPending(new SqliteFailure('other', 'the database is closed'))
    this.#failure ??= new SqliteFailure('other', 'the database is closed')
  }

  #settle(response: Response): void {
    const call = this.#pending.get(response.id)
    if (call === undefined) return
    this.#pending.delete(response.id)
    if (this.#pending.size === 0) this.#worker.unref()
    if ('value' in response) {
      call.resolve(response.value as never)
      return
    }
    const failure = new SqliteFailure(response.kind, response.message, response.errcode)
    if (isFinal(failure)) this.#fail(failure)
    call.reject(failure)
  }

  #fail(failure: SqliteFailure): void {
    if (this.#failure !== null) return
    this.#failure = failure
    this.#announceFailure(failure)
    this.#rejectPending(failure)
  }

  #rejectPending(failure: SqliteFailure): void {
    for (const call of this.#pending.values()) call.reject(failure)
    this.#pending.clear()
  }
}

/** A result whose buffers move to the main thread instead of being copied. */
export class Transferred<T> {
  readonly value: T
  readonly transfer: readonly Transferable[]

  constructor(value: T, transfer: readonly Transferable[]) {
    this.value = value
    this.transfer = transfer
  }
}

/**
 * The worker's end: runs the requested methods one after the other. If a method throws, the caller gets the failure and
 * the thread continues; the flush latch ensures that nothing is committed after a final failure. A method that returns
 * a promise is answered when it settles; the next one runs meanwhile.
 * @param start creates the methods from the thread's `workerData`; if it throws, every request fails with that error.
 */
export function serve<D>(start: (data: D) => Methods): void {
  if (isMainThread || parentPort === null) throw new Error('serve() must be called in a worker thread')
  const port: MessagePort = parentPort
  let methods: Methods | null = null
  let startFailure: SqliteFailure | null = null
  try {
    methods = start(workerData as D)
  } catch (thrown) {
    startFailure = toSqliteFailure(thrown)
  }
  const outbox = new Outbox(port)
  const fail = (id: number, thrown: unknown) => {
    const { kind, message, errcode } = toSqliteFailure(thrown)
    outbox.put({ id, kind, message, errcode })
  }
  const run = ({ id, method, argument }: Request) => {
    try {
      if (startFailure !== null) throw startFailure
      const result = methods?.[method]?.(argument as never)
      if (result instanceof Promise) {
        result.then(
          (value) => outbox.putResult(id, value),
          (thrown) => fail(id, thrown),
        )
      } else outbox.putResult(id, result)
    } catch (thrown) {
      fail(id, thrown)
    }
  }
  port.on('message', (requests: readonly Request[]) => {
    for (const request of requests) run(request)
  })
}

/** Sends the answers that are ready at the same time as one message. */
class Outbox {
  readonly #port: MessagePort
  #responses: Response[] = []
  #transfers: Transferable[] = []

  constructor(port: MessagePort) {
    this.#port = port
  }

  putResult(id: number, result: unknown): void {
    if (result instanceof Transferred) this.#transfers.push(...result.transfer)
    this.put({ id, value: result instanceof Transferred ? result.value : result })
  }

  put(response: Response): void {
    // Behind the reactions to promises that are settled already, which may put more.
    if (this.#responses.push(response) === 1) queueMicrotask(() => this.#send())
  }

  #send(): void {
    const responses = this.#responses
    const transfers = this.#transfers
    this.#responses = []
    this.#transfers = []
    this.#port.postMessage(responses, transfers)
  }
}
