// The current session, and how the next one begins.
//
// Several processes may find at once that a session is over: one script decides the new epoch, and one script per
// partition begins it there. Later callers add what they remember and change nothing else. If the process dies in
// between, the next script of any process finds it again.

import { MillraceError } from '../../../errors.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import type { TopicDeclaration } from '../../event-log.ts'
import { numberOf } from '../connection/redis-connection.ts'
import { layout } from '../redis-keys.ts'
import { RedisSession, type RedisSessionOptions } from './redis-session.ts'
import { type ResetReason, SessionOver } from './session-over.ts'

/** How many times in a row a call is retried in a new session. */
const maxBeginnings = 5

/** Why the epoch ended, and the new epoch. */
export interface LogReset {
  readonly reason: ResetReason
  readonly epoch: number
}

export interface SessionsOptions extends Omit<RedisSessionOptions, 'epoch' | 'offers' | 'masterChanges'> {
  /** The epoch at the start. */
  readonly epoch: number
  readonly logger: Pick<Logger, 'warn'>
  readonly onReset: (reset: LogReset) => void
}

export class Sessions {
  readonly #options: SessionsOptions
  /** What this process has declared, and declares again in each session. */
  readonly #declared = new Map<string, TopicDeclaration>()
  #current: RedisSession
  #beginning: Promise<void> | null = null
  #masterChanges = 0

  constructor(options: SessionsOptions) {
    this.#options = options
    options.connection.onMastersChanged(() => {
      this.#masterChanges++
    })
    this.#current = this.#make(options.epoch, null)
  }

  get current(): RedisSession {
    return this.#current
  }

  /**
   * Does the work in the current session; does it again in the next one when the session is over, at most maxBeginnings
   * times.
   */
  async within<T>(work: (session: RedisSession) => Promise<T>): Promise<T> {
    for (let beginnings = 0; ; beginnings++) {
      try {
        return await work(this.#current)
      } catch (thrown) {
        if (!(thrown instanceof SessionOver)) throw thrown
        if (beginnings >= maxBeginnings) throw tooManyResets(thrown)
        await this.begin(thrown)
      }
    }
  }

  /**
   * Call it before a caller is told that something was stored. Throws `unavailable` when the session is ending or has
   * ended since: what it stored may be lost, and was not counted as lost.
   */
  refuseIfOver(session: RedisSession): void {
    if (session === this.#current && this.#beginning === null) return
    throw new MillraceError(
      'unavailable',
      'Redis has lost data of the log, perhaps also what this call has stored; the outcome is unknown',
    )
  }

  declare(topic: string, declaration: TopicDeclaration): Promise<void> {
    return this.within(async ({ registry }) => {
      await registry.declare(topic, declaration)
      const { groups = [] } = this.#declared.get(topic) ?? {}
      const all = new Map(groups.map((group) => [group.name, group]))
      for (const group of declaration.groups) all.set(group.name, { ...all.get(group.name), ...group })
      this.#declared.set(topic, { ...declaration, groups: [...all.values()] })
    })
  }

  /** Drops a group and returns how many events waited for it; null when there is no such group. */
  drop(topic: string, group: string): Promise<number | null> {
    return this.within(async ({ registry }) => {
      const events = await registry.drop(topic, group)
      const declared = this.#declared.get(topic)
      if (declared !== undefined) {
        this.#declared.set(topic, { ...declared, groups: declared.groups.filter(({ name }) => name !== group) })
      }
      return events
    })
  }

  /** Begins the next session. Idempotent: a session is ended only once. */
  async begin(over: SessionOver): Promise<void> {
    if (over.epoch !== this.#current.epoch) return
    this.#beginning ??= this.#begin(over).finally(() => {
      this.#beginning = null
    })
    await this.#beginning
  }

  async #begin({ reason, epoch: over, seen }: SessionOver): Promise<void> {
    const { connection, keys, logger, onReset } = this.#options
    const ended = this.#current
    let least = seen
    for (let beginnings = 0; ; beginnings++) {
      const epoch = numberOf(await connection.run('raise-epoch', [keys.topics], [over, least, layout]))
      const next = this.#make(epoch, ended)
      try {
        await next.registry.begin(this.#declared)
      } catch (thrown) {
        if (!(thrown instanceof SessionOver)) throw thrown
        if (beginnings >= maxBeginnings) throw tooManyResets(thrown)
        least = Math.max(least, thrown.seen, epoch)
        continue
      }
      this.#current = next
      ended.end()
      logger.warn({ reason, epoch, before: over }, 'Redis has lost acknowledged data: the log begins a new epoch')
      onReset({ reason, epoch })
      return
    }
  }

  #make(epoch: number, ended: RedisSession | null): RedisSession {
    const offers = ended?.offers() ?? new Map()
    return new RedisSession({ ...this.#options, epoch, offers, masterChanges: () => this.#masterChanges })
  }
}

function tooManyResets(cause: SessionOver): MillraceError {
  return new MillraceError(
    'unavailable',
    'Redis lost data of the log several times in a row; retry, and check its persistence and failovers',
    { cause },
  )
}
