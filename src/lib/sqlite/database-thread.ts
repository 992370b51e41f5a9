// A database file and the worker thread that owns it: the two ends of the line between them.
//
// node:sqlite has no asynchronous calls, so every call stands in a thread of its own, one per file. Requests are answered
// in the order in which they are sent. One request carries a whole group of batches: a message costs about 20 µs.

import { isMainThread, type MessagePort, parentPort, type Transferable, Worker, workerData } from 'node:worker_threads'
import { SqliteFailure, type SqliteFailureKind, toSqliteFailure } from './failure.ts'
import { isFinal } from './flush-latch.ts'

/** What a thread can be asked: method name → argument and result, all of them plain data. */
export type Methods = Record<string, (argument: never) => unknown>

interface Request {
  readonly id: number
  readonly method: string
  readonly argument: unknown
}

type Response =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly kind: SqliteFailureKind; readonly message: string; readonly errcode: number }

interface Waiting {
  readonly resolve: (value: never) => void
  readonly reject: (failure: SqliteFailure) => void
}

/** The main thread's end. `M` is the type of the methods object that the thread serves. */
export class DatabaseThread<M extends Methods> {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #closed: Promise<void> | null = null
  #failure: SqliteFailure | null = null
  #announceFailure: (failure: SqliteFailure) => void = () => {}

  /** Resolves when the database can not be used any more (see FlushLatch), or its thread has ended by itself. */
  readonly failed: Promise<SqliteFailure> = new Promise((resolve) => {
    this.#announceFailure = resolve
  })

  /**
   * @param script the file that calls `serve`; a `.ts` of this tree or the `.js` made of it.
   * @param data what the script finds in its `workerData`.
   */
  constructor(script: URL, data: unknown) {
    this.#worker = new Worker(script, { workerData: data, resourceLimits: { maxYoungGenerationSizeMb: 64 } })
    this.#worker.on('message', (response: Response) => this.#settle(response))
    // For us both are a failed write: nobody knows what the thread had done.
    this.#worker.on('error', (error) => this.#fail(new SqliteFailure('io', error.message, 0, error)))
    this.#worker.on('exit', () => this.#fail(new SqliteFailure('io', 'the database thread has ended')))
    // The line alone must not keep the process alive; the servers do that.
    this.#worker.unref()
  }

  /**
   * Asks the thread. Rejects with a SqliteFailure.
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
      this.#waiting.set(id, { resolve, reject })
      this.#worker.ref()
      this.#worker.postMessage({ id, method, argument } satisfies Request, transfer)
    })
  }

  /** Ends the thread, after the answers that are under way. Call the thread's own closing method first. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async #end(): Promise<void> {
    this.#worker.removeAllListeners('exit')
    await this.#worker.terminate()
    this.#rejectWaiting(new SqliteFailure('other', 'the database is closed'))
    this.#failure ??= new SqliteFailure('other', 'the database is closed')
  }

  #settle(response: Response): void {
    const waiting = this.#waiting.get(response.id)
    if (waiting === undefined) return
    this.#waiting.delete(response.id)
    if (this.#waiting.size === 0) this.#worker.unref()
    if ('value' in response) {
      waiting.resolve(response.value as never)
      return
    }
    const failure = new SqliteFailure(response.kind, response.message, response.errcode)
    if (isFinal(failure)) this.#fail(failure)
    waiting.reject(failure)
  }

  #fail(failure: SqliteFailure): void {
    if (this.#failure !== null) return
    this.#failure = failure
    this.#announceFailure(failure)
    this.#rejectWaiting(failure)
  }

  #rejectWaiting(failure: SqliteFailure): void {
    for (const waiting of this.#waiting.values()) waiting.reject(failure)
    this.#waiting.clear()
  }
}

/** An answer whose buffers move to the main thread instead of being copied. */
export class Transferred<T> {
  readonly value: T
  readonly transfer: readonly Transferable[]

  constructor(value: T, transfer: readonly Transferable[]) {
    this.value = value
    this.transfer = transfer
  }
}

/** Where a thread script of the same folder is: beside the running code, whether that is `.ts` or built `.js`. */
export function threadScript(name: string, importerUrl: string): URL {
  return new URL(`./${name}${importerUrl.endsWith('.ts') ? '.ts' : '.js'}`, importerUrl)
}

/**
 * The thread's end: answers requests with the methods, one after the other. A method that throws answers with the
 * failure; the thread lives on, and it is the flush latch's work that nothing is committed after a final one.
 * @param start makes the methods from the thread's `workerData`; when it throws, every request is answered with that.
 */
export function serve<D>(start: (data: D) => Methods): void {
  if (isMainThread || parentPort === null) throw new Error('serve() belongs into a worker thread')
  const port: MessagePort = parentPort
  let methods: Methods | null = null
  let startFailure: SqliteFailure | null = null
  try {
    methods = start(workerData as D)
  } catch (thrown) {
    startFailure = toSqliteFailure(thrown)
  }
  port.on('message', ({ id, method, argument }: Request) => {
    try {
      if (startFailure !== null) throw startFailure
      const result = methods?.[method]?.(argument as never)
      if (result instanceof Transferred) port.postMessage({ id, value: result.value }, result.transfer)
      else port.postMessage({ id, value: result })
    } catch (thrown) {
      const { kind, message, errcode } = toSqliteFailure(thrown)
      port.postMessage({ id, kind, message, errcode } satisfies Response)
    }
  })
}
