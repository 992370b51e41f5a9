// Checks whether the servers keep the promised durability: at the start, whenever the masters change, and every 15 s.
//
// At the start a violation is an error. Later it stops appends, with `durability_lost`, until it is fixed; entries in
// the log are handed out and settled meanwhile.

import type { RedisTarget } from '../../config/redis-url.ts'
import { MillraceError } from '../../errors.ts'
import type { DurabilityLevel } from '../../event/durability.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { LogHealth } from '../event-log.ts'
import { missingRightIn, missingRights, type NeededRights, neededRights } from './check-rights.ts'
import { type Judgement, judgeServer, leastOf, type Promised } from './judge-server.ts'
import { type InspectedServer, readServerFacts, type ServerFacts } from './server-facts.ts'

const defaultCheckEveryMs = 15_000

/** Check interval while something is wrong: it may be fixed at any time. */
const checkAgainMs = 1_000

export interface DurabilityGuardOptions {
  /** The masters in use now. */
  readonly servers: () => readonly InspectedServer[]
  readonly target: RedisTarget
  readonly durability: DurabilityLevel
  /** Whether to trust the flush settings where CONFIG GET is denied. */
  readonly isDiskTrusted: boolean
  /** A key under the prefix, on which the user's rights are checked; it is never created. */
  readonly probeKey: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Default 15,000. */
  readonly checkEveryMs?: number | undefined
  /** Called when the health has changed. */
  readonly onHealth: (health: LogHealth) => void
}

type NamedJudgement = Judgement & { readonly name: string }

export class DurabilityGuard {
  readonly #options: DurabilityGuardOptions
  readonly #promised: Promised
  readonly #rights: NeededRights
  readonly #warned = new Set<string>()
  readonly #delayedFlushes = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #checking: Promise<void> | null = null
  #mustRepeat = false
  /** Whether a master has not been checked since the masters changed. */
  #isUnchecked = false
  #isUnreachable = false
  /** Why no append may be sent; null when one may. Missing replicas are no reason: WAIT reports them per append. */
  #refusal: string | null = null
  #health: LogHealth = { problem: 'the server has not been checked yet', persistence: 'unknown', isUnverified: false }
  #isClosed = false

  constructor(options: DurabilityGuardOptions) {
    const { target, durability, isDiskTrusted, probeKey } = options
    this.#options = options
    this.#promised = { ...durability, isDiskTrusted, isMasterNamed: target.topology !== 'standalone' }
    this.#rights = neededRights(probeKey, durability, target)
  }

  get health(): LogHealth {
    return this.#health
  }

  /**
   * The check at the start; it schedules the later ones. Errors: `failed_precondition` with every reason and its fix.
   */
  async start(): Promise<void> {
    const { refusals, health } = await this.#inspectAll()
    if (refusals.length > 0) {
      throw new MillraceError(
        'failed_precondition',
        `Redis cannot be used as it is:\n${refusals.map(indented).join('\n')}`,
      )
    }
    this.#change(health)
    this.#checkLater()
  }

  /** Checks again after a master was connected, lost or replaced. Appends wait until the check has ended. */
  mastersChanged(): void {
    this.#isUnchecked = true
    void this.check()
  }

  /** Resolves when a check that began at or after the call has ended. */
  check(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#mustRepeat = this.#checking !== null
    this.#checking ??= this.#checkAll()
    return this.#checking
  }

  /** Resolves when an append may be sent. Errors: `durability_lost`, `unavailable`: nothing was written. */
  async mayAppend(): Promise<void> {
    if (this.#isUnchecked) await this.#checking
    if (this.#refusal === null) return
    const cause = new Error(this.#refusal)
    if (this.#isUnreachable) throw new MillraceError('unavailable', 'Redis is unreachable', { cause })
    throw new MillraceError(
      'durability_lost',
      'no events are accepted: Redis cannot guarantee the configured durability; see the log of the server for the reason',
      { cause },
    )
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #checkLater(): void {
    const { checkEveryMs = defaultCheckEveryMs } = this.#options
    const afterMs = this.#health.problem === null ? checkEveryMs : Math.min(checkEveryMs, checkAgainMs)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.check(), afterMs).unref()
  }

  async #checkAll(): Promise<void> {
    do {
      this.#mustRepeat = false
      try {
        const { refusals, health } = await this.#inspectAll()
        this.#isUnreachable = false
        this.#refusal = refusals.length === 0 ? null : refusals.join('; ')
        this.#change(health)
      } catch (thrown) {
        this.#isUnreachable = true
        const reason = thrown instanceof Error ? thrown.message : String(thrown)
        this.#refusal = reason
        this.#change({ ...this.#health, problem: reason })
      }
    } while (this.#mustRepeat && !this.#isClosed)
    this.#isUnchecked = false
    this.#checking = null
    if (!this.#isClosed) this.#checkLater()
  }

  async #inspectAll(): Promise<{ readonly refusals: readonly string[]; readonly health: LogHealth }> {
    const { servers } = this.#options
    const masters = servers()
    if (masters.length === 0) throw new MillraceError('unavailable', 'no Redis server is connected')
    const results = await Promise.allSettled(masters.map((server) => this.#inspect(server)))
    // Servers that are unreachable or loading need no refusal: appends to them fail anyway.
    const judgements = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    if (judgements.length === 0) for (const result of results) if (result.status === 'rejected') throw result.reason
    this.#warn(judgements)
    const named = (kind: 'refusals' | 'notReady') =>
      judgements.flatMap((judgement) => judgement[kind].map((text) => `${judgement.name}: ${text}`))
    const refusals = named('refusals')
    const problems = [...refusals, ...named('notReady')]
    const health = {
      problem: problems.length === 0 ? null : problems.join('; '),
      persistence: leastOf(judgements.map(({ persistence }) => persistence)),
      isUnverified: judgements.some(({ isUnverified }) => isUnverified),
    }
    return { refusals, health }
  }

  /** Errors: when the server is unreachable. A server that denies a query of the check is refused. */
  async #inspect(server: InspectedServer): Promise<NamedJudgement> {
    const { name } = server
    try {
      const facts = await readServerFacts(server)
      this.#warnOfDelays(facts)
      const judgement = judgeServer(facts, this.#promised)
      // Before 7.0 scripts cannot check the ACL.
      const missing = facts.hasShardedPublish ? await missingRights(server, this.#rights) : null
      return { ...judgement, name, refusals: [...judgement.refusals, ...(missing === null ? [] : [missing])] }
    } catch (thrown) {
      const missing = missingRightIn(thrown)
      if (missing === null) throw thrown
      return { name, refusals: [missing], notReady: [], warnings: [], persistence: 'unknown', isUnverified: false }
    }
  }

  /** Logs each warning once. */
  #warn(judgements: readonly NamedJudgement[]): void {
    for (const { name, warnings } of judgements) {
      for (const text of warnings) {
        if (this.#warned.has(text)) continue
        this.#warned.add(text)
        this.#options.logger.warn({ redis: name }, text)
      }
    }
  }

  #warnOfDelays({ name, delayedFlushes }: ServerFacts): void {
    const before = this.#delayedFlushes.get(name)
    this.#delayedFlushes.set(name, delayedFlushes)
    if (before === undefined || delayedFlushes <= before) return
    this.#options.logger.warn(
      { redis: name, delayed_flushes: delayedFlushes - before },
      'the disk of Redis is too slow for its flushes: a crash of the host loses more than usual; use a faster disk',
    )
  }

  #change(health: LogHealth): void {
    const before = this.#health
    this.#health = health
    if (
      health.problem === before.problem &&
      health.persistence === before.persistence &&
      health.isUnverified === before.isUnverified
    )
      return
    const { logger, onHealth } = this.#options
    if (health.problem !== null && before.problem === null) {
      logger.warn({ problem: health.problem }, 'Redis cannot guarantee the configured durability')
    } else if (health.problem === null && before.problem !== null) {
      logger.info({ persistence: health.persistence }, 'Redis guarantees the configured durability')
    }
    onHealth(health)
  }
}

function indented(text: string): string {
  return `  ${text}`
}
