// One connection to a Redis server: runs scripts and plain commands, each with a deadline.
//
// A command that was written is never sent again, whatever became of it: whether it ran is then unknown, and the caller
// says so. While there is no connection nothing waits for one: commands fail at once.

import type { createClient } from 'redis'
import { MillraceError } from '../../errors.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { readScripts, type ScriptName, type Scripts } from './redis-scripts.ts'

const defaultMaxReplyMs = 5_000
const reconnectPolicy = { baseMs: 100, maxMs: 5_000 }

export type Reply = null | number | string | Buffer | readonly Reply[]

type Client = ReturnType<typeof createClient>

/** The one thing of the client that is used. */
interface Sender {
  sendCommand(words: readonly (string | Buffer)[]): Promise<unknown>
}

export interface RedisConnectionOptions {
  readonly url: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /**
   * A command without an answer by then has an unknown outcome, and a server that says nothing for so long is given up: a
   * new connection is tried. Default 5,000.
   */
  readonly maxReplyMs?: number
}

export class RedisConnection {
  readonly #client: Client
  readonly #sender: Sender
  readonly #scripts: Scripts
  readonly #maxReplyMs: number
  #isClosed = false

  private constructor(client: Client, sender: Sender, scripts: Scripts, maxReplyMs: number) {
    this.#client = client
    this.#sender = sender
    this.#scripts = scripts
    this.#maxReplyMs = maxReplyMs
  }

  /** Connects. Errors: `unavailable` when the server cannot be reached or refuses. */
  static async open({ url, logger, maxReplyMs = defaultMaxReplyMs }: RedisConnectionOptions): Promise<RedisConnection> {
    // Takes 150 ms, so only those pay for it who use Redis.
    const { createClient, RESP_TYPES } = await import('redis')
    let isOpen = false
    let isAway = false
    const client = createClient({
      url,
      RESP: 2,
      disableOfflineQueue: true,
      // No command here waits for anything, and a PING comes between: so silence means that nobody is there.
      pingInterval: maxReplyMs / 2,
      socket: {
        connectTimeout: maxReplyMs,
        socketTimeout: maxReplyMs,
        reconnectStrategy: (retries, cause) =>
          isOpen ? backoffMs(retries + 1, reconnectPolicy, 0.5 + Math.random() / 2) : cause,
      },
    })
    client.on('error', (error) => {
      if (isOpen && !isAway) logger.warn({ error }, 'the connection to Redis is lost; it is tried again')
      isAway = true
    })
    client.on('ready', () => {
      if (isOpen && isAway) logger.info({}, 'the connection to Redis is back')
      isAway = false
    })
    try {
      await client.connect()
    } catch (thrown) {
      client.destroy()
      throw new MillraceError('unavailable', 'Redis cannot be reached', { cause: thrown })
    }
    isOpen = true
    const sender = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
    const scripts = readScripts()
    const connection = new RedisConnection(
      client as unknown as Client,
      sender as unknown as Sender,
      scripts,
      maxReplyMs,
    )
    try {
      for (const { text } of Object.values(scripts)) await connection.command('SCRIPT', 'LOAD', text)
    } catch (thrown) {
      connection.close()
      throw thrown
    }
    return connection
  }

  /** Runs a script. Errors: as `command`. */
  async run(
    name: ScriptName,
    keys: readonly string[],
    args: readonly (string | number | Uint8Array)[],
  ): Promise<Reply> {
    const words = [String(keys.length), ...keys, ...args.map(toWord)]
    const { sha1, text } = this.#scripts[name]
    try {
      return await this.#send(['EVALSHA', sha1, ...words])
    } catch (thrown) {
      // The server has been started anew: nothing has run.
      if (!isReply(thrown, 'NOSCRIPT')) throw toFailure(thrown)
    }
    try {
      return await this.#send(['EVAL', text, ...words])
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }

  /** Errors: `unavailable` (the outcome is unknown), `disk_full` (the server's memory is full, nothing was written). */
  async command(...words: readonly (string | number)[]): Promise<Reply> {
    try {
      return await this.#send(words.map(String))
    } catch (thrown) {
      throw toFailure(thrown)
    }
  }

  /** Lets go of the connection at once. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#client.destroy()
  }

  #send(words: readonly (string | Buffer)[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`no answer within ${this.#maxReplyMs} ms`))
      const timer = setTimeout(late, this.#maxReplyMs)
      this.#sender.sendCommand(words).then(
        (reply) => {
          clearTimeout(timer)
          resolve(reply as Reply)
        },
        (error) => {
          clearTimeout(timer)
          reject(error)
        },
      )
    })
  }
}

function toWord(value: string | number | Uint8Array): string | Buffer {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function isReply(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && thrown.message.startsWith(code)
}

function toFailure(thrown: unknown): MillraceError {
  if (isReply(thrown, 'OOM')) {
    return new MillraceError('disk_full', 'the memory of Redis is full', { cause: thrown })
  }
  return new MillraceError('unavailable', 'Redis did not answer as it should; the outcome is unknown', {
    cause: thrown,
  })
}

/** The parts of a reply that is a list. */
export function listOf(reply: Reply | undefined): readonly Reply[] {
  if (!Array.isArray(reply)) throw new Error(`a list was expected of Redis, not ${typeof reply}`)
  return reply
}

export function textOf(reply: Reply | undefined): string {
  if (Buffer.isBuffer(reply)) return reply.toString('utf8')
  if (typeof reply === 'string' || typeof reply === 'number') return String(reply)
  throw new Error(`a text was expected of Redis, not ${typeof reply}`)
}

export function numberOf(reply: Reply | undefined): number {
  const number = Number(textOf(reply))
  if (!Number.isSafeInteger(number)) throw new Error('a whole number was expected of Redis')
  return number
}
