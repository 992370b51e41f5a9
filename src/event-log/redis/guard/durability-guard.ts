// Checks whether the servers keep the promised durability and take writes: at the start, whenever the masters change,
// and every 5 s.
//
// At the start a server that cannot keep the durability is an error. Later it stops appends, with `durability_lost`,
// until it is fixed; entries in the log are handed out and settled meanwhile. A server that refuses writes is only
// reported: it answers each append itself.

import type { RedisTarget } from '../../../config/redis-url.ts'
import { MillraceError } from '../../../errors.ts'
import type { DurabilityLevel } from '../../../event/durability.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import type { LogHealth, LogProblem } from '../../event-log.ts'
import { type RedisNode, refusalIn, refusals } from '../connection/redis-connection.ts'
import type { BlockedLanes } from './blocked-lanes.ts'
import { missingRightIn, missingRights, type NeededRights, neededRights } from './check-rights.ts'
import { type Judgement, judgeServer, leastOf, type Promised } from './judge-server.ts'
import { readServerFacts, type ServerFacts } from './server-facts.ts'

const defaultCheckEveryMs = 5_000

/** Check interval while something is wrong: it may be fixed at any time. */
const checkAgainMs = 1_000

/** Does nothing. As it has no flags, Redis refuses it exactly when it refuses the script of an append. */
const writeProbe = '#!lua\nreturn 1'

export interface DurabilityGuardOptions {
  /** The masters in use now. */
  readonly servers: () => readonly RedisNode[]
  readonly blockedLanes: BlockedLanes
  readonly target: RedisTarget
  readonly durability: DurabilityLevel
  /** Whether to trust the flush settings where CONFIG GET is denied. */
  readonly isDiskTrusted: boolean
  /** A key under the prefix, on which the user's rights are checked; it is never created. */
  readonly probeKey: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Default 5,000. */
  readonly checkEveryMs?: number | undefined
  /** Called after each check. */
  readonly onHealth: (health: LogHealth) => void
}

interface InspectedMaster extends Judgement {
  readonly name: string
  readonly problems: readonly LogProblem[]
}

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
  /** Why no append may be sent; null when one may. Missing replicas are no reason: WAIT reports them per append. */
  #refusal: MillraceError | null = null
  #health: LogHealth = { problem: null, persistence: 'unknown', isUnverified: false }
  /** What the servers have, without the lanes. */
  #serverHealth = this.#health
  #isClosed = false

  constructor(options: DurabilityGuardOptions) {
    const { target, durability, isDiskTrusted, probeKey } = options
    this.#options = options
    this.#promised = { ...durability, isDiskTrusted, isMasterNamed: target.topology !== 'standalone' }
    this.#rights = neededRights(probeKey, durability, target)
    options.blockedLanes.onChange = () => this.#change(this.#serverHealth)
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
    const { problem, persistence } = health
    if (problem === null) this.#options.logger.info({ persistence }, 'Redis guarantees the configured durability')
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
    if (this.#refusal !== null) throw this.#refusal
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
        await this.#options.blockedLanes.checkAgain()
        this.#refusal = refusals.length === 0 ? null : durabilityLost(refusals.join('; '))
        this.#change(health)
      } catch (thrown) {
        const problem = unreachable('Redis', thrown)
        this.#refusal = new MillraceError('unavailable', 'Redis is unreachable', { cause: new Error(problem.message) })
        this.#change({ ...this.#serverHealth, problem })
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
    const inspected = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    if (inspected.length === 0) for (const result of results) if (result.status === 'rejected') throw result.reason
    for (const { name, warnings } of inspected) this.#warn(name, warnings)
    // Servers that are unreachable or loading need no refusal: appends to them fail anyway.
    const refusals = inspected.flatMap((master) => master.refusals)
    const problems = results.map((result, index) =>
      result.status === 'fulfilled' ? result.value.problems : [unreachable(masters[index]!.name, result.reason)],
    )
    const health = {
      problem: together(problems, refusals.length > 0),
      persistence: leastOf(inspected.map(({ persistence }) => persistence)),
      isUnverified: inspected.some(({ isUnverified }) => isUnverified),
    }
    return { refusals, health }
  }

  /** Errors: when the server is unreachable. A server that denies a query of the check is refused. */
  async #inspect(server: RedisNode): Promise<InspectedMaster> {
    try {
      const facts = await readServerFacts(server)
      this.#warnOfDelays(facts)
      const judgement = judgeServer(facts, this.#promised)
      // Before 7.0 scripts have no flags and cannot check the ACL.
      if (!facts.hasShardedPublish) return inspectedMaster(server, judgement, null)
      const missing = await missingRights(server, this.#rights)
      return inspectedMaster(server, judgement, missing, await refusalOfWrites(server))
    } catch (thrown) {
      const missing = missingRightIn(thrown)
      if (missing === null) throw thrown
      const facts = { refusals: [], notReady: [], warnings: [], persistence: 'unknown', isUnverified: false } as const
      return inspectedMaster(server, facts, missing)
    }
  }

  /** Logs each warning once. */
  #warn(name: string, warnings: readonly string[]): void {
    for (const text of warnings) {
      if (this.#warned.has(text)) continue
      this.#warned.add(text)
      this.#options.logger.warn({ redis: name }, text)
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

  #change(serverHealth: LogHealth): void {
    const before = this.#health
    this.#serverHealth = serverHealth
    const health = { ...serverHealth, problem: withLanes(serverHealth.problem, this.#options.blockedLanes.texts) }
    this.#health = health
    const { logger, onHealth } = this.#options
    const { problem } = health
    const ended = before.problem === null ? {} : { ended: before.problem.reason }
    if (problem !== null && problem.reason !== before.problem?.reason) {
      const fields = { ...ended, reason: problem.reason, problem: problem.message }
      logger.warn(fields, 'the log on Redis does not work as it should')
    } else if (problem === null && before.problem !== null) {
      logger.info({ ...ended, persistence: health.persistence }, 'the log on Redis works again')
    }
    onHealth(health)
  }
}

/** Why the server refuses writes; null when it does not. Errors: as `command`, when it is unreachable. */
async function refusalOfWrites(server: RedisNode): Promise<MillraceError | null> {
  try {
    await server.command('EVAL', writeProbe, 0)
    return null
  } catch (thrown) {
    if (thrown instanceof MillraceError && refusalIn(thrown) !== null) return thrown
    throw thrown
  }
}

function inspectedMaster(
  { name }: RedisNode,
  judgement: Judgement,
  missingRight: string | null,
  refused: MillraceError | null = null,
): InspectedMaster {
  const named = (text: string) => `${name}: ${text}`
  const rights = missingRight === null ? [] : [named(missingRight)]
  const refusals = [...judgement.refusals.map(named), ...rights]
  const problems = [...refusals, ...judgement.notReady.map(named)].map((message) => ({
    ...{ reason: 'durability_lost', message },
    // Only durability does not concern the hand-out.
    ...{ answersAppends: false, delivers: !rights.includes(message) },
  }))
  return {
    ...judgement,
    name,
    refusals,
    problems: refused === null ? problems : [problemOfWrites(name, refused), ...problems],
  }
}

function problemOfWrites(name: string, refused: MillraceError): LogProblem {
  const reason = refusalIn(refused)!
  const said = (refused.cause as Error).message.replace(/\.$/, '')
  return {
    ...{ reason, message: `${name} refuses writes: ${said}: ${refusals[reason].fix}` },
    ...{ answersAppends: refused.code === 'disk_full', delivers: reason === 'OOM' },
  }
}

function unreachable(name: string, thrown: unknown): LogProblem {
  const error = thrown instanceof MillraceError && thrown.cause instanceof Error ? thrown.cause : thrown
  const text = error instanceof Error ? error.message : String(error)
  return { reason: 'unavailable', message: `${name} is unreachable: ${text}`, answersAppends: false, delivers: false }
}

function durabilityLost(reason: string): MillraceError {
  return new MillraceError(
    'durability_lost',
    'no events are accepted: Redis cannot guarantee the configured durability; GET /readyz has the reason',
    { cause: new Error(reason) },
  )
}

/** The problem of all masters together, of which each has a part of the log. */
function together(problems: readonly (readonly LogProblem[])[], areAppendsStopped: boolean): LogProblem | null {
  const all = problems.flat()
  if (all.length === 0) return null
  return {
    reason: all[0]!.reason,
    message: all.map(({ message }) => message).join('; '),
    answersAppends: !areAppendsStopped && problems.some((each) => each.every(({ answersAppends }) => answersAppends)),
    delivers: problems.some((each) => each.every(({ delivers }) => delivers)),
  }
}

function withLanes(problem: LogProblem | null, blocked: readonly string[]): LogProblem | null {
  if (blocked.length === 0) return problem
  const message = [...(problem === null ? [] : [problem.message]), ...blocked].join('; ')
  return { reason: 'durability_lost', answersAppends: true, delivers: true, ...problem, message }
}

function indented(text: string): string {
  return `  ${text}`
}
