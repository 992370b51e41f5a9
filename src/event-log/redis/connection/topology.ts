// What the three topologies have in common: their options, and their errors when they cannot connect.

import type { NodeAddress } from '../../../config/redis-url.ts'
import { MillraceError } from '../../../errors.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { NodeConnection } from './node-connection.ts'
import { isReply, type Reply, textOf } from './redis-connection.ts'
import { RedisMaster, type RedisMasterOptions } from './redis-master.ts'

export interface TopologyOptions extends Omit<RedisMasterOptions, 'name' | 'address'> {
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Maps an address that a server announces to the one to connect to. */
  readonly reach: (address: NodeAddress) => NodeAddress
}

export function nameOf({ host, port }: Pick<NodeAddress, 'host' | 'port'>): string {
  return `${host}:${port}`
}

export function masterAt(address: NodeAddress, options: TopologyOptions): RedisMaster {
  return new RedisMaster({ ...options, address: options.reach(address), name: nameOf(address) })
}

/** Sends commands on a temporary connection. Rejects as `cannotOpen`, or with the unmapped error of the server. */
export async function queryOnce<T>(
  address: NodeAddress,
  { makeClient, maxReplyMs, reach }: Pick<TopologyOptions, 'makeClient' | 'maxReplyMs' | 'reach'>,
  work: (connection: NodeConnection) => Promise<T>,
): Promise<T> {
  const connection = new NodeConnection({ makeClient, maxReplyMs, address: reach(address) })
  try {
    await connection.opened.catch((thrown) => {
      throw cannotOpen(nameOf(address), thrown)
    })
    return await work(connection)
  } finally {
    connection.close()
  }
}

/** The kind of server: `standalone`, `cluster` or `sentinel`. */
export async function modeOf(connection: { send(words: readonly string[]): Promise<Reply> }): Promise<string> {
  const info = textOf(await connection.send(['INFO', 'server']))
  return /^redis_mode:(\w+)/m.exec(info)?.[1] ?? 'standalone'
}

/**
 * `unavailable` when the server is unreachable, `failed_precondition` when it refuses the login or the TLS connection.
 */
export function cannotOpen(name: string, thrown: unknown): MillraceError {
  if (thrown instanceof MillraceError) return thrown
  const reason = reasonOf(thrown)
  const refused = (text: string) =>
    new MillraceError('failed_precondition', text, { field: 'MILLRACE_REDIS_URL', cause: thrown })
  if (isReply(thrown, 'WRONGPASS') || isReply(thrown, 'NOAUTH') || /AUTH/.test(reason)) {
    return refused(
      `Redis at ${name} refuses user or password: ${reason} Correct them in MILLRACE_REDIS_URL, or in the file that MILLRACE_REDIS_URL_FILE names`,
    )
  }
  if (isReply(thrown, 'NOPERM')) {
    const reasonOnly = reason.replace(/^NOPERM\s*/, '')
    return refused(`the user of MILLRACE_REDIS_URL lacks a right on ${name}: ${reasonOnly}; grant it with ACL SETUSER`)
  }
  if (isCertificateError(thrown)) {
    return refused(
      `the certificate of Redis at ${name} is not trusted: ${reason}; set NODE_EXTRA_CA_CERTS to the file of its CA`,
    )
  }
  return new MillraceError(
    'unavailable',
    `Redis at ${name} cannot be reached: ${reason}; start it, or correct MILLRACE_REDIS_URL`,
    { cause: thrown },
  )
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof AggregateError) return thrown.errors.map(reasonOf).join('; ')
  return thrown instanceof Error ? thrown.message : String(thrown)
}

function isCertificateError(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
  return /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code)
}
