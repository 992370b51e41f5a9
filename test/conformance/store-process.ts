// A store in a separate process, which a test can kill: acknowledged rows must not depend on an orderly end.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, MillraceError } from '../../src/errors.ts'
import type { EventStore } from '../../src/store/event-store.ts'
import type { openStore } from '../../src/store/open-store.ts'

export type StoreConfig = Parameters<typeof openStore>[0]

/** The calls to the store in the other process. */
export type StoreMethod = Exclude<keyof EventStore, 'failed'>

export interface StoreCall {
  readonly id: number
  readonly method: StoreMethod
  readonly arguments: readonly unknown[]
}

export type StoreAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string }
  | { readonly failed: string }
  | 'open'

export interface StoreProcess {
  readonly store: EventStore
  /** Kills the process, and resolves when it has exited. */
  kill(): Promise<void>
}

/** @param options.maxFileBytes maximum size of a file of the process: a write beyond it fails. */
export async function startStoreProcess(
  config: StoreConfig,
  options: { readonly maxFileBytes?: number } = {},
): Promise<StoreProcess> {
  const main = fileURLToPath(new URL('./store-process-main.ts', import.meta.url))
  // The limit is inherited, in blocks of 512 bytes. So is the ignored SIGXFSZ, which would otherwise end the process.
  const limit = `trap '' XFSZ; ulimit -f ${Math.floor((options.maxFileBytes ?? 0) / 512)}; exec "$0" "$@"`
  const child = fork(main, [JSON.stringify(config)], {
    serialization: 'advanced',
    ...(options.maxFileBytes === undefined ? {} : { execPath: '/bin/sh', execArgv: ['-c', limit, process.execPath] }),
  })
  const store = new RemoteStore(child)
  await store.open
  return {
    store,
    async kill() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
    },
  }
}

interface Waiting {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

class RemoteStore implements EventStore {
  readonly landEvents = this.#remote('landEvents')
  readonly listEvents = this.#remote('listEvents')
  readonly findEvents = this.#remote('findEvents')
  readonly findRows = this.#remote('findRows')
  readonly landedStreams = this.#remote('landedStreams')
  readonly landDeadLetters = this.#remote('landDeadLetters')
  readonly listDeadLetters = this.#remote('listDeadLetters')
  readonly readDeadLetters = this.#remote('readDeadLetters')
  readonly countDeadLetters = this.#remote('countDeadLetters')
  readonly groupDeadLetters = this.#remote('groupDeadLetters')
  readonly noteRedriven = this.#remote('noteRedriven')
  readonly deleteDeadLetters = this.#remote('deleteDeadLetters')
  readonly upsertAgents = this.#remote('upsertAgents')
  readonly listAgents = this.#remote('listAgents')
  readonly saveFile = this.#remote('saveFile')
  readonly file = this.#remote('file')
  readonly setAnalysis = this.#remote('setAnalysis')
  readonly insertApiKey = this.#remote('insertApiKey')
  readonly listApiKeys = this.#remote('listApiKeys')
  readonly revokeApiKey = this.#remote('revokeApiKey')
  readonly noteApiKeysUsed = this.#remote('noteApiKeysUsed')
  readonly describe = this.#remote('describe')
  readonly observe = this.#remote('observe')
  readonly close = this.#remote('close')
  readonly open: Promise<void>
  readonly failed: Promise<Error>
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  constructor(child: ChildProcess) {
    this.#child = child
    const opened = Promise.withResolvers<void>()
    const failed = Promise.withResolvers<Error>()
    this.open = opened.promise
    this.failed = failed.promise
    child.on('message', (answer: StoreAnswer) => {
      if (answer === 'open') opened.resolve()
      else if ('failed' in answer) failed.resolve(new Error(answer.failed))
      else this.#settle(answer)
    })
    child.on('exit', () => {
      const gone = new MillraceError('unavailable', 'the process is gone')
      opened.reject(gone)
      for (const { reject } of this.#waiting.values()) reject(gone)
      this.#waiting.clear()
    })
  }

  #remote<M extends StoreMethod>(method: M): EventStore[M] {
    const call = (...given: readonly unknown[]) =>
      new Promise((resolve, reject) => {
        const id = ++this.#lastId
        this.#waiting.set(id, { resolve, reject })
        const message: StoreCall = { id, method, arguments: given }
        this.#child.send(message)
      })
    return call as EventStore[M]
  }

  #settle(answer: Extract<StoreAnswer, { id: number }>): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('value' in answer) waiting?.resolve(answer.value as never)
    else waiting?.reject(new MillraceError(answer.code, answer.message))
  }
}
