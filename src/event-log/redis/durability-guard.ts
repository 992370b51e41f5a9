// Watches whether the servers still keep what is promised: at the start, whenever the masters change, and every few seconds.
//
// At the start what breaks the promise is an error. Later it stops appends, as `durability_lost`, until it is mended; what
// is in the log is handed out and settled all the while.

import type { RedisTarget } from '../../config/redis-url.ts'
import { MillraceError } from '../../errors.ts'
import type { DurabilityLevel } from '../../event/durability.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { LogHealth } from '../event-log.ts'
import { missingRightIn, missingRights, type NeededRights, neededRights } from './check-rights.ts'
import { type Judgement, judgeServer, leastOf, type Promised } from './judge-server.ts'
import { type AskedServer, readServerFacts, type ServerFacts } from './server-facts.ts'

const defaultCheckEveryMs = 15_000

/** While something is wrong, for it may be mended at any time. */
const checkAgainMs = 1_000

export interface DurabilityGuardOptions {
  /** The masters in use now. */
  readonly servers: () => readonly AskedServer[]
  readonly target: RedisTarget
  readonly durability: DurabilityLevel
  /** Whether the operator vouches for what CONFIG would tell. */
  readonly isDiskTrusted: boolean
  /** One under the prefix, about which the rights are asked; nothing is made there. */
  readonly probeKey: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Default 15,000. */
  readonly checkEveryMs?: number | undefined
  /** Called when something has changed. */
  readonly onHealth: (health: LogHealth) => void
}

type NamedJudgement = Judgement & { readonly name: string }

export class DurabilityGuard {
  readonly #options: DurabilityGuardOptions
  readonly #promised: Promised
  readonly #rights: NeededRights
  readonly #said = new Set<string>()
  readonly #delayedFlushes = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #checking: Promise<void> | null = null
  #isAskedAgain = false
  /** Whether there is a master that nobody has looked at since it came. */
  #isUnchecked = false
  #isAway = false
  /** Why no append may be sent. One for which replicas are missing may: its answer tells that they are. */
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
   * The check at the start; later checks follow by themselves. Errors: `failed_precondition` with every reason and its fix.
   */
  async start(): Promise<void> {
    const { refusals, health } = await this.#look()
    if (refusals.length > 0) {
      throw new MillraceError(
        'failed_precondition',
        `Redis cannot be used as it is:\n${refusals.map(indented).join('\n')}`,
      )
    }
    this.#change(health)
    this.#checkLater()
  }

  /** Looks again, for a master is new, has come back or is away: until it has been looked at, appends wait. */
  mastersChanged(): void {
    this.#isUnchecked = true
    void this.check()
  }

  /** Resolves when what was to be seen at the call has been seen. */
  check(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#isAskedAgain = this.#checking !== null
    this.#checking ??= this.#checkAll()
    return this.#checking
  }

  /** Resolves when an append may be sent. Errors: `durability_lost`, `unavailable`: nothing was written. */
  async mayAppend(): Promise<void> {
    if (this.#isUnchecked) await this.#checking
    if (this.#refusal === null) return
    const cause = new Error(this.#refusal)
    if (this.#isAway) throw new MillraceError('unavailable', 'Redis cannot be reached', { cause })
    throw new MillraceError(
      'durability_lost',
      'events cannot be kept as durably as the server promises, so none is taken; its log says why',
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
      this.#isAskedAgain = false
      try {
        const { refusals, health } = await this.#look()
        this.#isAway = false
        this.#refusal = refusals.length === 0 ? null : refusals.join('; ')
        this.#change(health)
      } catch (thrown) {
        this.#isAway = true
        const reason = thrown instanceof Error ? thrown.message : String(thrown)
        this.#refusal = reason
        this.#change({ ...this.#health, problem: reason })
      }
    } while (this.#isAskedAgain && !this.#isClosed)
    this.#isUnchecked = false
    this.#checking = null
    if (!this.#isClosed) this.#checkLater()
  }

  async #look(): Promise<{ readonly refusals: readonly string[]; readonly health: LogHealth }> {
    const { servers } = this.#options
    const asked = servers()
    if (asked.length === 0) throw new MillraceError('unavailable', 'no server of Redis is connected')
    const looks = await Promise.allSettled(asked.map((server) => this.#lookAt(server)))
    // Who is away, or still loads what it has, takes no appends by itself.
    const judgements = looks.flatMap((look) => (look.status === 'fulfilled' ? [look.value] : []))
    if (judgements.length === 0) for (const look of looks) if (look.status === 'rejected') throw look.reason
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

  /** Errors: when the server is away. One that denies an answer is refused. */
  async #lookAt(server: AskedServer): Promise<NamedJudgement> {
    const { name } = server
    try {
      const facts = await readServerFacts(server)
      this.#warnOfDelays(facts)
      const judgement = judgeServer(facts, this.#promised)
      // An older one does not know how to answer.
      const missing = facts.hasShardedPublish ? await missingRights(server, this.#rights) : null
      return { ...judgement, name, refusals: [...judgement.refusals, ...(missing === null ? [] : [missing])] }
    } catch (thrown) {
      const missing = missingRightIn(thrown)
      if (missing === null) throw thrown
      return { name, refusals: [missing], notReady: [], warnings: [], persistence: 'unknown', isUnverified: false }
    }
  }

  /** Each once. */
  #warn(judgements: readonly NamedJudgement[]): void {
    for (const { name, warnings } of judgements) {
      for (const text of warnings) {
        if (this.#said.has(text)) continue
        this.#said.add(text)
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
      'the disk of Redis is too slow for its flushes: a crash of its host loses more than usual',
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
      logger.warn({ problem: health.problem }, 'Redis cannot keep what is promised')
    } else if (health.problem === null && before.problem !== null) {
      logger.info({ persistence: health.persistence }, 'Redis keeps what is promised')
    }
    onHealth(health)
  }
}

function indented(text: string): string {
  return `  ${text}`
}
