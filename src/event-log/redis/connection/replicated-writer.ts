// Runs scripts on one master and waits until their writes are on the replicas.
//
// WAIT counts the replicas that have all writes of its own connection, and blocks the commands behind it there. So this
// connection is used for nothing else, and the scripts that arrive during one WAIT share the next.

import type { Script } from '../scripts/redis-scripts.ts'
import type { NodeConnection } from './node-connection.ts'
import { type DurableReply, isReply, listOf, numberOf, type Replication } from './redis-connection.ts'

export interface PreparedScript {
  readonly script: Script
  /** Number of keys, the keys, the arguments. */
  readonly words: readonly (string | Buffer)[]
  /** Whether to send ASKING first, after an ASK redirection: the slot is being moved to this server. */
  readonly needsAsking: boolean
}

interface Waiting extends PreparedScript {
  /** Whether to send the script's text, because the server does not have it yet. */
  readonly isNew: boolean
  resolve(reply: DurableReply): void
  reject(reason: unknown): void
}

export interface ReplicatedWriterOptions {
  readonly connection: NodeConnection
  readonly replication: Replication
  /** Timeout of the replicas; shorter than the reply timeout of a server. */
  readonly maxWaitMs: number
}

export class ReplicatedWriter {
  readonly #options: ReplicatedWriterOptions
  #waiting: Waiting[] = []
  #isRunning = false

  constructor(options: ReplicatedWriterOptions) {
    this.#options = options
  }

  /** Rejects with the unmapped error of the server or the client. */
  run(call: PreparedScript): Promise<DurableReply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...call, isNew: false, resolve, reject })
      if (!this.#isRunning) void this.#runAll()
    })
  }

  close(): void {
    this.#options.connection.close()
  }

  async #runAll(): Promise<void> {
    this.#isRunning = true
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
    this.#isRunning = false
  }

  async #runTogether(calls: readonly Waiting[]): Promise<void> {
    const { connection } = this.#options
    const replies = calls.map((call) => sendScript(connection, call))
    const reached = this.#wait()
    // Each is awaited below; until then a rejection must not count as unhandled.
    for (const promise of [...replies, reached]) promise.catch(() => {})
    for (const [index, call] of calls.entries()) {
      try {
        const reply = await replies[index]!
        call.resolve({ reply, isReached: await reached })
      } catch (thrown) {
        // The script has not run. Send it again with its text.
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

/** Sends a script by its SHA-1, or with its text when the server does not have it yet. */
export function sendScript(
  connection: NodeConnection,
  { script, words, needsAsking, isNew }: PreparedScript & { readonly isNew: boolean },
) {
  // Sent in the same turn as the script: ASKING applies only to the next command.
  if (needsAsking) connection.send(['ASKING']).catch(() => {})
  return connection.send(isNew ? ['EVAL', script.text, ...words] : ['EVALSHA', script.sha1, ...words])
}
