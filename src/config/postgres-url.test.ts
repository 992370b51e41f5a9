import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPostgresUrl } from './postgres-url.ts'

test('timeouts and the TLS mode are taken out of the URL, other parameters stay', () => {
  assert.deepEqual(readPostgresUrl('postgres://me:secret@db:5432/events?lock_timeout=0&sslmode=prefer&a=b%20c'), {
    url: 'postgres://me:secret@db:5432/events?a=b+c',
    timeouts: { lock_timeout: 0 },
    isTlsOptional: true,
  })
  assert.deepEqual(readPostgresUrl('postgresql://db/events'), {
    url: 'postgresql://db/events',
    timeouts: {},
    isTlsOptional: false,
  })
})

test('modes that require TLS verify the certificate', () => {
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    const { url, isTlsOptional } = readPostgresUrl(`postgres://db/events?sslmode=${mode}`)
    assert.deepEqual([url, isTlsOptional], ['postgres://db/events?sslmode=verify-full', false])
  }
  assert.equal(readPostgresUrl('postgres://db/events?sslmode=allow').isTlsOptional, true)
  assert.equal(readPostgresUrl('postgres://db/events?sslmode=disable').url, 'postgres://db/events?sslmode=disable')
})

test('a Unix socket may be named with and without a user', () => {
  for (const url of [
    'postgres:///events?host=/run',
    'postgres://me@/events?host=/run',
    'postgres://me@%2Frun/events',
  ]) {
    assert.equal(decodeURIComponent(readPostgresUrl(url).url), decodeURIComponent(url))
  }
})

test('anything else is refused with the part that is wrong and without the password', () => {
  const cases = [
    ['mysql://me:SECRET@db/events', /must begin with postgres/],
    ['postgres://me:SEC/RET@db:x/events', /not a URL/],
    ['postgres://me:SECRET@db/events?sslmode=Require', /sslmode must be one of disable, prefer/],
    ['postgres://me:SECRET@db/events?statement_timeout=1min', /statement_timeout must be a whole number/],
  ] as const
  for (const [url, message] of cases) {
    assert.throws(
      () => readPostgresUrl(url),
      (error: Error) => message.test(error.message) && !error.message.includes('SEC'),
    )
  }
})
