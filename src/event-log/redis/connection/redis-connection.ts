// The connection that the log needs: one server, a master named by Sentinels, or a Cluster.
//
// A command that was written to the socket is never resent: if its reply is lost, the outcome is unknown and the caller
// reports that. Commands are not queued while a server is unreachable: they fail at once.

import { MillraceError } from '../../../errors.ts'
import type { ScriptName } from '../scripts/redis-scripts.ts'

export type Reply = null | number | string | Buffer | readonly Reply[]

export type ScriptArgument = string | number | Uint8Array

/** How many replicas must have a script's writes before its caller gets OK. */
export interface Replication {
  readonly replicas: number
  /** Whether the master and the replicas must also have flushed the writes to their append-only files. */
  readonly isFlushed: boolean
}

export interface RedisNode {
  /** `host:port`. */
  readonly name: string
  /** Errors: as `RedisConnection.command`. */
  command(...words: readonly (string | number)[]): Promise<Reply>
}

/** A script, its keys, which are all in one slot, and its arguments. */
export type ScriptCall = readonly [name: ScriptName, keys: readonly string[], args: readonly ScriptArgument[]]

/** Called with each message; with null when messages may have been missed, after a reconnect. */
export type OnMessage = (message: Buffer | null) => void

export interface RedisConnection {
  /** Runs a script on the node of its first key. Errors: as `command`. */
  run(...call: ScriptCall): Promise<Reply>

  /**
   * Runs a script and, when the connection was opened with a `replication`, waits until its writes, and all earlier
   * ones, are on that many replicas.
   */
  runDurably(...call: ScriptCall): Promise<DurableReply>

  /**
   * Sends a command about one key, its second word, to the node of that key.
   * Errors: `unavailable` (the outcome is unknown); `disk_full` and `durability_lost` (the server refuses writes; nothing
   * was written).
   */
  command(...words: readonly (string | number)[]): Promise<Reply>

  /** The current masters, including unreachable ones. */
  masters(): readonly RedisNode[]

  /** The listener is called whenever a master is connected, reconnected, lost, or replaced by another. */
  onMastersChanged(listener: () => void): void

  /**
   * Call it after a READONLY reply: looks for the present master and resolves with whether sending again can help. False
   * after `maxWaitMs`, and where nothing names the master.
   */
  findMaster(maxWaitMs: number): Promise<boolean>

  /**
   * Subscribes to a sharded pub/sub channel, on the node of its slot, until the connection is closed. After a reconnect
   * it resubscribes by itself. Errors: `unavailable`: not subscribed.
   */
  subscribe(channel: string, onMessage: OnMessage): Promise<void>

  /** Closes all connections at once; commands in flight fail. Idempotent. */
  close(): void
}

export interface DurableReply {
  readonly reply: Reply
  /** False when too few replicas acknowledged in time; they may still have the writes. */
  readonly isReached: boolean
}

/** Whether the error is a reply of the server that begins with this error code. */
export function isReply(thrown: unknown, code: string): thrown is Error {
  return thrown instanceof Error && (thrown.message === code || thrown.message.startsWith(`${code} `))
}

/** Whether a script has written nothing because the partition has no such group. */
export function isNoGroup(thrown: unknown): boolean {
  return thrown instanceof MillraceError && isReply(thrown.cause, 'NOGROUP')
}

/**
 * The replies with which Redis refuses every script that may write. It refuses a script before it runs, so nothing was
 * written. OOM does not stop the scripts that are allowed to run without memory: only those that append.
 */
export const refusals = {
  OOM: { code: 'disk_full', problem: 'Redis is out of memory', fix: 'raise its maxmemory or free memory' },
  MISCONF: {
    code: 'disk_full',
    problem: 'Redis cannot write its own files',
    fix: 'free space on its disk, read its log',
  },
  NOREPLICAS: {
    code: 'durability_lost',
    problem: 'Redis has fewer replicas than its min-replicas-to-write',
    fix: 'start them, or lower that setting',
  },
  READONLY: { code: 'durability_lost', problem: 'Redis is a replica now', fix: 'make it a master, or name the master' },
} as const

export type RefusalReply = keyof typeof refusals

/** The reply with which Redis refused the script; null when the error is another one. */
export function refusalIn(thrown: unknown): RefusalReply | null {
  const reply = thrown instanceof MillraceError ? thrown.cause : thrown
  return (Object.keys(refusals) as RefusalReply[]).find((code) => isReply(reply, code)) ?? null
}

/** Maps an error of the client or the server to a MillraceError. */
export function toFailure(thrown: unknown): MillraceError {
  if (thrown instanceof MillraceError) return thrown
  const refusal = refusalIn(thrown)
  if (refusal !== null) {
    const { code, problem, fix } = refusals[refusal]
    return new MillraceError(code, `${problem} (${refusal}); nothing was written: ${fix}`, { cause: thrown })
  }
  return new MillraceError('unavailable', 'Redis did not reply, or replied with an error', { cause: thrown })
}

/** The elements of a reply that is an array. */
export function listOf(reply: Reply | undefined): readonly Reply[] {
  if (!Array.isArray(reply)) throw new Error(`expected an array from Redis, got ${typeof reply}`)
  return reply
}

export function textOf(reply: Reply | undefined): string {
  if (Buffer.isBuffer(reply)) return reply.toString('utf8')
  if (typeof reply === 'string' || typeof reply === 'number') return String(reply)
  throw new Error(`expected a string from Redis, got ${typeof reply}`)
}

export function numberOf(reply: Reply | undefined): number {
  const number = Number(textOf(reply))
  if (!Number.isSafeInteger(number)) throw new Error('expected an integer from Redis')
  return number
}
