// Runs scripts on one master and waits until what they wrote is on replicas.
//
// WAIT counts the replicas that have all that its own connection has written, and holds up whatever comes behind it there.
// So this connection does nothing else, and the scripts that come while one WAIT is under way share the next.

import type { NodeConnection } from './node-connection.ts'
import { type DurableReply, isReply, listOf, numberOf, type Replication } from './redis-connection.ts'
import type { Script } from './redis-scripts.ts'

export interface ScriptCall {
  readonly script: Script
  /** How many keys, the keys, the arguments. */
  readonly words: readonly (string | Buffer)[]
  /** Whether to say that the server asked for this call, because the slot is being moved to it. */
  readonly isAsked: boolean
}

interface Waiting extends ScriptCall {
  /** Whether the server does not know the script yet. */
  readonly isNew: boolean
  resolve(reply: DurableReply): void
  reject(reason: unknown): void
}

export interface ReplicatedWriterOptions {
  readonly connection: NodeConnection
  readonly replication: Replication
  /** How long the replicas have: less than a server may say nothing. */
  readonly maxWaitMs: number
}

export class ReplicatedWriter {
  readonly #options: ReplicatedWriterOptions
  #waiting: Waiting[] = []
  #isUnderWay = false

  constructor(options: ReplicatedWriterOptions) {
    this.#options = options
  }

  /** Rejects with what the server or the client said. */
  run(call: ScriptCall): Promise<DurableReply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...call, isNew: false, resolve, reject })
      if (!this.#isUnderWay) void this.#runAll()
    })
  }

  close(): void {
    this.#options.connection.close()
  }

  async #runAll(): Promise<void> {
    this.#isUnderWay = true
    while (this.#waiting.length > 0) {
      const some = this.#waiting
      this.#waiting = []
      try {
        await this.#options.connection.tried
        await this.#runTogether(some)
      } catch (thrown) {
        for (const { reject } of some) reject(thrown)
      }
    }
    this.#isUnderWay = false
  }

  async #runTogether(calls: readonly Waiting[]): Promise<void> {
    const { connection } = this.#options
    const replies = calls.map((call) => sendScript(connection, call))
    const reached = this.#wait()
    // Awaited below, each where it belongs.
    for (const promise of [...replies, reached]) promise.catch(() => {})
    for (const [index, call] of calls.entries()) {
      try {
        const reply = await replies[index]!
        call.resolve({ reply, isReached: await reached })
      } catch (thrown) {
        // Nothing has run. The second time its text goes with it.
        if (isReply(thrown, 'NOSCRIPT') && !call.isNew) this.#waiting.push({ ...call, isNew: true })
        else call.reject(thrown)
      }
    }
  }

  async #wait(): Promise<boolean> {
    const { connection, replication, maxWaitMs } = this.#options
    const [replicas, ms] = [String(replication.replicas), String(maxWaitMs)]
    if (!replication.isFlushed) return numberOf(await connection.send(['WAIT', replicas, ms])) >= replication.replicas
    const [local, remote] = listOf(await connection.send(['WAITAOF', '1', replicas, ms]))
    return numberOf(local) >= 1 && numberOf(remote) >= replication.replicas
  }
}

/** Sends a script by its name, or with its text where the server does not know it yet. */
export function sendScript(
  connection: NodeConnection,
  { script, words, isAsked, isNew }: ScriptCall & { readonly isNew: boolean },
) {
  // In the same turn, so that nothing comes between: it counts for the next command alone.
  if (isAsked) connection.send(['ASKING']).catch(() => {})
  return connection.send(isNew ? ['EVAL', script.text, ...words] : ['EVALSHA', script.sha1, ...words])
}
