// Decides from what a server says of itself whether it can keep what is promised: what refuses it, what keeps it from
// being ready, and what people should know. Each sentence ends with the fix.
//
// The rules as users know them: docs/redis.md.

import type { ServerFacts } from './server-facts.ts'

/** What an answer of the server is worth by itself: the word for answers and metrics. */
export type Persistence = 'none' | 'rdb' | 'aof-no' | 'aof-everysec' | 'aof-always' | 'unknown'

export interface Promised {
  readonly level: 'broker' | 'disk' | 'replicated' | 'replicated_disk'
  readonly replicas?: number
  /** Whether the operator vouches for what CONFIG would tell. */
  readonly isDiskTrusted: boolean
  /** Whether somebody else (a Sentinel, a Cluster) names the master, so that a replica is met only on the way to it. */
  readonly isMasterNamed: boolean
}

export interface Judgement {
  /** It must not be used. */
  readonly refusals: readonly string[]
  /** It can be used, but what is promised cannot be reached now. */
  readonly notReady: readonly string[]
  readonly warnings: readonly string[]
  readonly persistence: Persistence
  /** True where the promise rests on the operator's word. */
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
          `${facts.connectedReplicas} replicas are connected, and ${replicas} must have each event: start more, or set MILLRACE_DURABILITY lower`,
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
  if (!facts.hasShardedPublish) found.push(`it is version ${facts.version}: 7.0 or newer is needed`)
  if (level === 'replicated_disk' && !facts.hasWaitAof) {
    found.push(
      `it is version ${facts.version} and has no WAITAOF: replicated_disk needs 7.2 or newer, or set MILLRACE_DURABILITY=replicated(n)`,
    )
  }
  if (facts.role !== 'master' && !isMasterNamed) {
    found.push(`it is a replica of ${facts.role.replicaOf}: name the master in MILLRACE_REDIS_URL`)
  }
  if (facts.evictionPolicy !== 'noeviction') {
    found.push(
      `its maxmemory-policy is ${facts.evictionPolicy}, which throws events away when memory is full: set it to noeviction`,
    )
  }
  return found
}

const otherwise = 'or set MILLRACE_DURABILITY=broker'

/** What is flushed is the append-only file. */
function refusalsOfFile(facts: ServerFacts, { level }: Promised): string[] {
  if (!facts.hasAppendOnlyFile) return [`${level} is asked for, and appendonly is no: set it to yes, ${otherwise}`]
  if (facts.isAppendOnlyFileSound) return []
  return [`${level} is asked for, and its last write to the append-only file failed: look at its log and its disk`]
}

function refusalsOfDisk(facts: ServerFacts, promised: Promised): string[] {
  const { isDiskTrusted } = promised
  const refusals = refusalsOfFile(facts, promised)
  if (refusals.length > 0) return refusals
  if (facts.flushes === null) {
    if (isDiskTrusted) return []
    return [
      `disk is asked for, and CONFIG GET is denied, so nobody can see appendfsync: allow it (ACL SETUSER … +config|get), vouch for it with MILLRACE_REDIS_TRUST_DISK=true, ${otherwise}`,
    ]
  }
  if (facts.flushes !== 'always') {
    return [`disk is asked for, and appendfsync is ${facts.flushes}: set it to always, ${otherwise}`]
  }
  if (facts.flushesDuringRewrite === false) {
    return [
      `disk is asked for, and no-appendfsync-on-rewrite is yes, so a rewrite goes without flushes: set it to no, ${otherwise}`,
    ]
  }
  return []
}

function warningsOf(facts: ServerFacts, { level }: Promised): string[] {
  const found: string[] = []
  if (facts.maxMemoryBytes === 0) {
    found.push('maxmemory is 0, so only the memory of the host is the limit: set it, and publishes are refused in time')
  }
  if (level === 'disk') return found
  if (!facts.hasAppendOnlyFile) {
    found.push('appendonly is no: a restart of Redis loses what the last snapshot lacks; set it to yes')
  } else if (facts.flushes === null) {
    found.push(
      'CONFIG GET is denied: how much a crash of the host loses is unknown; allow it (ACL SETUSER … +config|get)',
    )
  } else if (facts.flushes !== 'always') {
    found.push(
      `appendfsync is ${facts.flushes}: a crash of the host loses ${facts.flushes === 'everysec' ? 'about the last two seconds' : 'what was not flushed'}; set it to always and MILLRACE_DURABILITY=disk where that matters`,
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

/** What several servers are worth together: no more than the least of them. */
export function leastOf(all: readonly Persistence[]): Persistence {
  return byWorth.find((persistence) => all.includes(persistence)) ?? 'unknown'
}
