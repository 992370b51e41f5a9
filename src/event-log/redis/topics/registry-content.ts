// What the registry on the server holds: the topics with their partitions and groups.

import { MillraceError } from '../../../errors.ts'
import type { Flow } from '../../event-log.ts'
import { listOf, numberOf, type Reply, textOf } from '../connection/redis-connection.ts'
import { layout, type PartitionKeys, type RedisKeys } from '../redis-keys.ts'

export interface KnownTopic {
  readonly name: string
  readonly groups: ReadonlyMap<string, Flow | null>
  readonly ordered: ReadonlySet<string>
  /** Groups that are being dropped: some partitions may still have them. */
  readonly dropping: readonly string[]
  readonly partitions: readonly PartitionKeys[]
  /** How many of the partitions are known to have been made. */
  readonly made: number
}

export interface RegistryContent {
  /** 0 where there is none. */
  readonly epoch: number
  /** Counts the changes in this epoch. */
  readonly version: number
  readonly topics: ReadonlyMap<string, KnownTopic>
}

type Writable = KnownTopic & {
  readonly groups: Map<string, Flow | null>
  readonly ordered: Set<string>
  readonly dropping: string[]
}

/**
 * Reads the reply of HGETALL; the fields are described in register-topic.lua.
 * Errors: `failed_precondition` (the log has another layout).
 */
export function readRegistry(reply: Reply, keys: RedisKeys): RegistryContent {
  const fields = new Map<string, Reply>()
  const list = listOf(reply)
  for (let at = 0; at + 1 < list.length; at += 2) fields.set(textOf(list[at]), list[at + 1]!)
  const number = (field: string) => numberOf(fields.get(field) ?? 0)
  const epoch = number('\0\0epoch')
  if (epoch !== 0) checkLayout(number('\0\0layout'))
  const topics = new Map<string, Writable>()
  for (const name of fields.keys()) {
    if (name.includes('\0')) continue
    const partitions = Array.from({ length: number(name) }, (_, at) => keys.partition(name, at))
    topics.set(name, {
      name,
      groups: new Map(),
      ordered: new Set(),
      dropping: [],
      partitions,
      made: number(`\0${name}`),
    })
  }
  for (const [field, value] of fields) {
    const [name = '', group] = field.split('\0')
    const topic = topics.get(name)
    if (topic === undefined || group === undefined) continue
    const text = textOf(value)
    const state = text.startsWith('o') ? text.slice(1) : text
    if (state !== text) topic.ordered.add(group)
    if (state === 'drop') topic.dropping.push(group)
    else topic.groups.set(group, flowOfState(state))
  }
  return { epoch, version: number('\0\0version'), topics }
}

/** The state of a group that is not being dropped, as the registry stores it. */
export function stateOfFlow(flow: Flow | null): string {
  if (flow === null) return '-'
  return 'paused' in flow ? `+${flow.paused}` : `~${flow.ratePerSecond}`
}

function flowOfState(state: string): Flow | null {
  if (state.startsWith('+')) return { paused: state.slice(1) }
  return state.startsWith('~') ? { ratePerSecond: Number(state.slice(1)) } : null
}

function checkLayout(found: number): void {
  if (found === layout) return
  throw new MillraceError(
    'failed_precondition',
    `the log on Redis has layout ${found === 0 ? 1 : found}, and this version of Millrace uses layout ${layout}: ` +
      'let the version that wrote it land everything, then remove it with "millrace clean", or use another MILLRACE_REDIS_PREFIX',
    { field: 'MILLRACE_REDIS_PREFIX' },
  )
}
