// Parses MILLRACE_REDIS_URL: one server, a Cluster, or a master behind Sentinels.
//
//   redis://[user:password@]host[:6379][/database]            one server; rediss:// uses TLS
//   redis://[user:password@]host:port,host:port, ...          a Cluster: some of its nodes; one followed by a comma is enough
//   redis+sentinel://[user:password@]host[:26379],host/name   the master of that name; rediss+sentinel:// uses TLS to both
//     ?sentinelUser=...&sentinelPassword=...                  credentials of the Sentinels themselves

import { MillraceError } from '../errors.ts'

const defaultPort = 6379
const defaultSentinelPort = 26_379

/** Address and credentials of one server. */
export interface NodeAddress {
  readonly host: string
  readonly port: number
  readonly isTls?: boolean
  readonly username?: string
  readonly password?: string
  readonly database?: number
}

export type RedisTarget =
  | { readonly topology: 'standalone'; readonly address: NodeAddress }
  /** Addresses of some nodes. All nodes have the same credentials, and all or none use TLS. */
  | { readonly topology: 'cluster'; readonly seeds: readonly NodeAddress[] }
  | {
      readonly topology: 'sentinel'
      readonly masterName: string
      readonly sentinels: readonly NodeAddress[]
      /** Credentials of the master. */
      readonly access: NodeAccess
    }

export type NodeAccess = Omit<NodeAddress, 'host' | 'port'>

/** Throws `failed_precondition`; the message never shows a password. */
export function readRedisUrl(text: string): RedisTarget {
  const scheme = /^(rediss?)(\+sentinel)?:\/\//.exec(text.trim())
  if (scheme === null) throw wrong('it must begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://')
  if (scheme[2] !== undefined) return readSentinelUrl(text.trim(), scheme[1] === 'rediss')
  const parts = text.trim().split(',')
  const [first, ...others] = parts.map((part) => part.trim())
  const address = readAddress(first!)
  if (parts.length === 1) return { topology: 'standalone', address }
  const { host: _, port: __, ...access } = address
  if ((address.database ?? 0) !== 0) throw wrong('a Cluster has only database 0')
  const seeds = others.filter((part) => part !== '').map((part) => readSeed(part, access))
  return { topology: 'cluster', seeds: [address, ...seeds] }
}

/** A further node: a URL, or only host and port. */
function readSeed(text: string, access: NodeAccess): NodeAddress {
  if (!text.includes('://')) return { ...readHost(text, defaultPort), ...access }
  const { host, port, ...other } = readAddress(text)
  const isPlain = other.username === undefined && other.password === undefined
  const isSame = isPlain || (other.username === access.username && other.password === access.password)
  if (!isSame) throw wrong('all nodes of a Cluster must have the same user and password')
  if (other.isTls !== access.isTls) throw wrong('either all nodes of a Cluster use TLS, or none')
  return { host, port, ...access }
}

function readAddress(text: string): NodeAddress {
  const url = parse(text)
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:')
    throw wrong('every URL of the list must begin with redis:// or rediss://')
  if (url.hostname === '') throw wrong('the host is missing')
  refuseParameters(url)
  return {
    ...hostOf(url, defaultPort),
    ...credentialsOf(url.username, url.password),
    ...databaseOf(url.pathname.slice(1)),
    isTls: url.protocol === 'rediss:',
  }
}

function readSentinelUrl(text: string, isTls: boolean): RedisTarget {
  const parts = /^[^/]+\/\/(?:(.*)@)?([^/?@]+)\/([^/?]+)(?:\/([^/?]*))?(\?.*)?$/.exec(text)
  if (parts === null) throw wrong('it must be redis+sentinel://host:26379,host:26379/name-of-the-master')
  const [, userInfo = '', hosts = '', name = '', database = '', query = ''] = parts
  const colon = userInfo.indexOf(':')
  const [user, password] = colon < 0 ? [userInfo, ''] : [userInfo.slice(0, colon), userInfo.slice(colon + 1)]
  const parameters = new URLSearchParams(query)
  for (const key of parameters.keys()) {
    if (key !== 'sentinelUser' && key !== 'sentinelPassword') throw wrong(`it has an unknown parameter "${key}"`)
  }
  const sentinelAccess = {
    ...credentialsOf(
      encodeURIComponent(parameters.get('sentinelUser') ?? ''),
      encodeURIComponent(parameters.get('sentinelPassword') ?? ''),
    ),
    isTls,
  }
  const named = hosts.split(',').filter((host) => host.trim() !== '')
  return {
    topology: 'sentinel',
    masterName: decode(name),
    sentinels: named.map((host) => ({ ...readHost(host.trim(), defaultSentinelPort), ...sentinelAccess })),
    access: { ...credentialsOf(user, password), ...databaseOf(database), isTls },
  }
}

function readHost(text: string, portWhenMissing: number): { host: string; port: number } {
  const url = parse(`redis://${text}`)
  if (url.hostname === '' || url.username !== '' || url.password !== '' || url.pathname.length > 1) {
    throw wrong('a part of the list is not host:port')
  }
  refuseParameters(url)
  return hostOf(url, portWhenMissing)
}

/**
 * A URL with `?tls=true` must not lead to a plain connection. The message does not show the parameters: after a ? that is not
 * encoded they may be the end of a password.
 */
function refuseParameters({ search, hash }: URL): void {
  if (search === '' && hash === '') return
  throw wrong('parameters are not supported: use rediss:// for TLS, and percent-encode a ? or # in a password')
}

function hostOf({ hostname, port }: URL, portWhenMissing: number) {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? portWhenMissing : Number(port) }
}

function credentialsOf(username: string, password: string) {
  return {
    ...(username === '' ? {} : { username: decode(username) }),
    ...(password === '' ? {} : { password: decode(password) }),
  }
}

function databaseOf(text: string): { database?: number } {
  if (text === '') return {}
  if (!/^\d{1,9}$/.test(text))
    throw wrong('the slash must be followed by a database number; write a / in a password as %2F')
  return { database: Number(text) }
}

function parse(text: string): URL {
  try {
    return new URL(text)
  } catch {
    throw wrong('it is not a URL; characters such as @ : / , in a password must be percent-encoded')
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong('a % must be followed by two hexadecimal digits')
  }
}

export function wrong(what: string): MillraceError {
  return new MillraceError('failed_precondition', `the Redis URL is invalid: ${what}`, { field: 'MILLRACE_REDIS_URL' })
}
