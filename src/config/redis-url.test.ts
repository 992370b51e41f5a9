import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { readRedisUrl } from './redis-url.ts'

test('a single URL names one server, optionally with user, password, database and TLS', () => {
  assert.deepEqual(readRedisUrl('redis://localhost'), {
    topology: 'standalone',
    address: { host: 'localhost', port: 6379, isTls: false },
  })
  assert.deepEqual(readRedisUrl('rediss://a%40b:p%2Cw@[::1]:7000/3'), {
    topology: 'standalone',
    address: { host: '::1', port: 7000, isTls: true, username: 'a@b', password: 'p,w', database: 3 },
  })
  assert.deepEqual(readRedisUrl('redis://:secret@a'), {
    topology: 'standalone',
    address: { host: 'a', port: 6379, isTls: false, password: 'secret' },
  })
})

test('a list names a Cluster, whose nodes share user, password and TLS', () => {
  const [a, b] = [7000, 7001].map((port) => ({ host: 'a', port, isTls: false, username: 'u', password: 'p' }))
  for (const list of [
    'redis://u:p@a:7000,redis://u:p@a:7001',
    'redis://u:p@a:7000, a:7001',
    'redis://u:p@a:7000,redis://a:7001',
  ]) {
    assert.deepEqual(readRedisUrl(list), { topology: 'cluster', seeds: [a, b] })
  }
  assert.deepEqual(readRedisUrl('redis://u:p@a:7000,'), { topology: 'cluster', seeds: [a] })
})

test('a Sentinel URL names the master, and may hold separate credentials for the Sentinels', () => {
  assert.deepEqual(readRedisUrl('redis+sentinel://a,b:26380/main'), {
    topology: 'sentinel',
    masterName: 'main',
    sentinels: [
      { host: 'a', port: 26_379, isTls: false },
      { host: 'b', port: 26_380, isTls: false },
    ],
    access: { isTls: false },
  })
  assert.deepEqual(readRedisUrl('rediss+sentinel://u:p@a/main/2?sentinelUser=s&sentinelPassword=q%26'), {
    topology: 'sentinel',
    masterName: 'main',
    sentinels: [{ host: 'a', port: 26_379, isTls: true, username: 's', password: 'q&' }],
    access: { isTls: true, username: 'u', password: 'p', database: 2 },
  })
})

test('an invalid URL is rejected, and the message shows no password', () => {
  const wrong = [
    '',
    'localhost:6379',
    'http://secret@a',
    'redis://:secret@',
    'redis://:secret@a/x',
    'redis://:sec@ret:x@a:b',
    'redis://:%zz@a',
    'redis://:secret@a:1,rediss://a:2',
    'redis://:secret@a:1,redis://:other@a:2',
    'redis://:secret@a:1,http://a:2',
    'redis://:secret@a:1/2,redis://a:2',
    'redis://:secret@a:1/0?tls=true',
    'redis://:secret@a:1/0?password=secret',
    'redis://:secret@a:1#secret',
    'redis://user:123?secret@a',
    'redis://:secret@a:1,a:2?tls=true',
    'redis://:secret@a:1,redis://a:2#x',
    'redis+sentinel://:secret@a',
    'redis+sentinel://:secret@a/main?x=1',
    'redis+sentinel://:secret@a:x/main',
  ]
  for (const url of wrong) {
    assert.throws(
      () => readRedisUrl(url),
      (error) =>
        error instanceof MillraceError && error.code === 'failed_precondition' && !/secret/.test(error.message),
      url,
    )
  }
})
