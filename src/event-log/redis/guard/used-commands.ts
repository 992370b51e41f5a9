// The commands that the log sends, including those inside its scripts, by their names in ACL rules. A user that may run
// them on keys and channels with the prefix has all rights that the log needs; conformance/redis-rights.test.ts
// compares the tables with the code, and the tests of the log run as such a user.

import type { RedisTarget } from '../../../config/redis-url.ts'
import type { DurabilityLevel } from '../../../event/durability.ts'

/**
 * Command → sample arguments for the ACL check, with KEY in place of a key or channel under the prefix. Null: optional,
 * the log works without it.
 */
type Commands = Readonly<Record<string, string | null>>

/** On every server. */
export const usedCommands: Commands = {
  'command|info': 'ping',
  'config|get': null,
  del: 'KEY',
  eval: '1 1 KEY',
  evalsha: '0000000000000000000000000000000000000000 1 KEY',
  exists: 'KEY',
  getbit: 'KEY 1',
  hdel: 'KEY 1',
  hexists: 'KEY 1',
  hget: 'KEY 1',
  hgetall: 'KEY',
  hincrby: 'KEY 1 1',
  hkeys: 'KEY',
  hlen: 'KEY',
  hmget: 'KEY 1',
  hscan: 'KEY 0',
  hset: 'KEY 1 1',
  hsetnx: 'KEY 1 1',
  hstrlen: 'KEY 1',
  hvals: 'KEY',
  info: '',
  pexpire: 'KEY 1',
  ping: '',
  'script|load': null,
  setbit: 'KEY 1 1',
  setrange: 'KEY 0 1',
  spublish: 'KEY 1',
  ssubscribe: 'KEY',
  sunsubscribe: 'KEY',
  time: '',
  unlink: 'KEY',
  xack: 'KEY 1 0-1',
  xadd: 'KEY * 1 1',
  xclaim: 'KEY 1 1 0 0-1',
  'xgroup|create': 'KEY 1 0',
  'xgroup|delconsumer': 'KEY 1 1',
  'xgroup|destroy': 'KEY 1',
  'xinfo|consumers': 'KEY 1',
  'xinfo|groups': 'KEY',
  'xinfo|stream': 'KEY',
  xpending: 'KEY 1',
  xrange: 'KEY - +',
  xreadgroup: 'GROUP 1 1 STREAMS KEY >',
  xrevrange: 'KEY + -',
  xtrim: 'KEY MINID 0',
  zadd: 'KEY 1 1',
  zcard: 'KEY',
  zcount: 'KEY 0 1',
  zpopmin: 'KEY',
  zrangebylex: 'KEY - +',
  zrangebyscore: 'KEY 0 1',
  zrem: 'KEY 1',
  zscore: 'KEY 1',
}

/** How appends wait for replicas. */
export const commandsOfLevels: Readonly<Record<DurabilityLevel['level'], Commands>> = {
  broker: {},
  disk: {},
  replicated: { wait: '0 0' },
  replicated_disk: { waitaof: '0 0 0' },
}

/** How masters are found and followed. On Sentinels only `sentinel|get-master-addr-by-name` is sent. */
export const commandsOfTopologies: Readonly<Record<RedisTarget['topology'], Commands>> = {
  standalone: {},
  sentinel: { role: '' },
  cluster: { 'cluster|slots': '', asking: '' },
}
