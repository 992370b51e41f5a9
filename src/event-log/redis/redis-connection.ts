// What the log asks of Redis, whether one server answers, a master that Sentinels name, or a Cluster.
//
// A command that was written is never sent again, whatever became of it: whether it ran is then unknown, and the caller
// says so. While a server is away nothing waits for it: its commands fail at once.

import { MillraceError } from '../../errors.ts'
import type { ScriptName } from './redis-scripts.ts'

export type Reply = null | number | string | Buffer | readonly Reply[]

export type ScriptArgument = string | number | Uint8Array

/** How many replicas must have what a script wrote before it counts. */
export interface Replication {
  readonly replicas: number
  /** Whether the master and the replicas must have flushed it to their append-only files too. */
  readonly isFlushed: boolean
}

export interface RedisNode {
  /** `host:port`. */
  readonly name: string
  /** Errors: as `RedisConnection.command`. */
  command(...words: readonly (string | number)[]): Promise<Reply>
}

export interface RedisConnection {
  /** Runs a script where its first key lives; all its keys are in one slot. Errors: as `command`. */
  run(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<Reply>

  /**
   * Runs a script and, when the connection was opened with a replication, waits until what it wrote, and all that was
   * written before it, is on that many replicas.
   */
  runDurably(name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]): Promise<DurableReply>

  /**
   * Sends a command about one key, its second word, to where that lives.
   * Errors: `unavailable` (the outcome is unknown), `disk_full` (the server's memory is full, nothing was written).
   */
  command(...words: readonly (string | number)[]): Promise<Reply>

  /** The masters that are in use now; also those that are away. */
  masters(): readonly RedisNode[]

  /** The listener is called whenever a master is connected, again or for the first time, is lost, or another has taken over. */
  onMastersChanged(listener: () => void): void

  /**
   * Listens to a channel of sharded publish and subscribe, where it lives, until the connection is closed; again by itself
   * after a reconnect, and then calls the listener once, for nobody knows what was said meanwhile.
   * Errors: `unavailable`: it does not listen.
   */
  subscribe(channel: string, onMessage: () => void): Promise<void>

  /** Lets go of everything at once. Idempotent. */
  close(): void
}

export interface DurableReply {
  readonly reply: Reply
  /** False when the replicas did not answer in time: they may have it all the same. */
  readonly isReached: boolean
}

/** Whether the server itself refused, with this word. */
export function isReply(thrown: unknown, code: string): thrown is Error {
  return thrown instanceof Error && (thrown.message === code || thrown.message.startsWith(`${code} `))
}

/** Whether a script has not run because there is no such group in the partition. */
export function isNoGroup(thrown: unknown): boolean {
  return thrown instanceof MillraceError && isReply(thrown.cause, 'NOGROUP')
}

/** What becomes of an error of the client or the server. */
export function toFailure(thrown: unknown): MillraceError {
  if (thrown instanceof MillraceError) return thrown
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
