// Decides from a server's settings and state whether it can keep the promised durability: what makes it unusable, what
// makes it not ready, and what the operator should know. Each text ends with the fix.
//
// The rules for users: docs/redis.md.

import type { ServerFacts } from './server-facts.ts'

/** The server's own persistence, as reported in answers and metrics. */
export type Persistence = 'none' | 'rdb' | 'aof-no' | 'aof-everysec' | 'aof-always' | 'unknown'

export interface Promised {
  readonly level: 'broker' | 'disk' | 'replicated' | 'replicated_disk'
  readonly replicas?: number
  /** Whether to trust the flush settings where CONFIG GET is denied. */
  readonly isDiskTrusted: boolean
  /** Whether Sentinels or a Cluster name the master; then a replica is only met during a failover and is no error. */
  readonly isMasterNamed: boolean
}

export interface Judgement {
  /** Reasons not to use the server. */
  readonly refusals: readonly string[]
  /** The server can be used, but the promised durability cannot be reached now. */
  readonly notReady: readonly string[]
  readonly warnings: readonly string[]
  readonly persistence: Persistence
  /** True when the durability was not verified but trusted (isDiskTrusted). */
  readonly isUnverified: boolean
}

export function judgeServer(facts: ServerFacts, promised: Promised): Judgement {
  const refusals = [
    ...refusalsOfServer(facts, promised),
    ...(promised.level === 'disk' ? refusalsOfDisk(facts, promised) : []),
    ...(promised.level === 'replicated_disk' ? refusalsOfFile(facts, promised) : []),
  ]
  const { replicas = 0 } = promised
  const notReady =
    facts.connectedReplicas < replicas
      ? [
          `${facts.connectedReplicas} of ${replicas} needed replicas are connected and answer: start more, or lower MILLRACE_DURABILITY`,
        ]
      : []
  return {
    refusals,
    notReady,
    warnings: warningsOf(facts, promised),
    persistence: persistenceOf(facts),
    isUnverified: promised.level === 'disk' && facts.flushes === null,
  }
}

function refusalsOfServer(facts: ServerFacts, { level, isMasterNamed }: Promised): string[] {
  const found: string[] = []
  if (!facts.hasShardedPublish) found.push(`its version is ${facts.version}, but 7.0 or newer is needed: upgrade it`)
  if (level === 'replicated_disk' && !facts.hasWaitAof) {
    found.push(
      `its version is ${facts.version}, which has no WAITAOF: upgrade to 7.2 or newer for replicated_disk, or set MILLRACE_DURABILITY=replicated(n)`,
    )
  }
  if (facts.role !== 'master' && !isMasterNamed) {
    found.push(`it is a replica of ${facts.role.replicaOf}: name the master in MILLRACE_REDIS_URL`)
  }
  if (facts.evictionPolicy !== 'noeviction') {
    found.push(
      `its maxmemory-policy is ${facts.evictionPolicy}, which deletes events when memory is full: set it to noeviction`,
    )
  }
  return found
}

const otherwise = 'or set MILLRACE_DURABILITY=broker'

/** Both disk levels need a working append-only file. */
function refusalsOfFile(facts: ServerFacts, { level }: Promised): string[] {
  if (!facts.hasAppendOnlyFile)
    return [`durability ${level} needs the append-only file, but appendonly is no: set it to yes, ${otherwise}`]
  if (facts.isAppendOnlyFileSound) return []
  return [
    `durability ${level} needs the append-only file, but the last write to it failed: check the log and the disk of Redis`,
  ]
}

function refusalsOfDisk(facts: ServerFacts, promised: Promised): string[] {
  const { isDiskTrusted } = promised
  const refusals = refusalsOfFile(facts, promised)
  if (refusals.length > 0) return refusals
  if (facts.flushes === null) {
    if (isDiskTrusted) return []
    return [
      `durability disk needs appendfsync always, but CONFIG GET is denied: allow it (ACL SETUSER … +config|get), confirm appendfsync with MILLRACE_REDIS_TRUST_DISK=true, ${otherwise}`,
    ]
  }
  if (facts.flushes !== 'always') {
    return [
      `durability disk needs a flush before each reply, but appendfsync is ${facts.flushes}: set it to always, ${otherwise}`,
    ]
  }
  if (facts.flushesDuringRewrite === false) {
    return [
      `durability disk needs flushes during rewrites too, but no-appendfsync-on-rewrite is yes: set it to no, ${otherwise}`,
    ]
  }
  return []
}

function warningsOf(facts: ServerFacts, { level }: Promised): string[] {
  const found: string[] = []
  if (facts.maxMemoryBytes === 0) {
    found.push(
      'maxmemory is 0, so Redis can use all memory of the host: set it, so that publishes are refused before that',
    )
  }
  if (level === 'disk') return found
  if (!facts.hasAppendOnlyFile) {
    found.push('appendonly is no: a restart of Redis loses everything since the last snapshot; set it to yes')
  } else if (facts.flushes === null) {
    found.push(
      'CONFIG GET is denied, so it is unknown how much a crash of the host loses: allow it (ACL SETUSER … +config|get)',
    )
  } else if (facts.flushes !== 'always') {
    found.push(
      `appendfsync is ${facts.flushes}: a crash of the host loses ${facts.flushes === 'everysec' ? 'about the last two seconds' : 'what was not flushed'}; to prevent that, set it to always and MILLRACE_DURABILITY=disk`,
    )
  }
  return found
}

function persistenceOf({ hasAppendOnlyFile, flushes, savesSnapshots }: ServerFacts): Persistence {
  if (flushes === null || savesSnapshots === null) return 'unknown'
  if (!hasAppendOnlyFile) return savesSnapshots ? 'rdb' : 'none'
  if (flushes === 'always') return 'aof-always'
  return flushes === 'everysec' ? 'aof-everysec' : 'aof-no'
}

const byWorth: readonly Persistence[] = ['none', 'unknown', 'rdb', 'aof-no', 'aof-everysec', 'aof-always']

/** The persistence of several servers together: that of the weakest. */
export function leastOf(all: readonly Persistence[]): Persistence {
  return byWorth.find((persistence) => all.includes(persistence)) ?? 'unknown'
}
