import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../config/config.ts'
import { checkDisk, checkPorts, checkVersions, compareVersions, formatBytes } from './doctor-checks.ts'

test('the installed versions are not older than their minimum', () => {
  assert.deepEqual(
    checkVersions().map(({ subject, state }) => [subject, state]),
    [
      ['Node', 'ok'],
      ['SQLite', 'ok'],
      ['@grpc/grpc-js', 'ok'],
      ['protobufjs', 'ok'],
    ],
  )
})

test('versions are compared numerically, part by part', () => {
  assert.ok(compareVersions('3.9.0', '3.51.3') < 0)
  assert.ok(compareVersions('24.15.0', '24.15.0') === 0)
  assert.ok(compareVersions('25.0.0-rc.1', '24.99.99') > 0)
  assert.ok(compareVersions('7.6', '7.6.1') < 0)
})

test('free space is compared with the reserve, also for a directory that does not exist yet', () => {
  const dataDir = join(tmpdir(), 'not', 'there', 'yet')
  assert.equal(checkDisk({ dataDir, diskReserveBytes: 1 }).state, 'ok')
  const { state, message } = checkDisk({ dataDir, diskReserveBytes: 2 ** 60 })
  assert.equal(state, 'problem')
  assert.match(message, /publishes are refused/)
})

test('a port in use is reported with its variable', async (t) => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.after(() => other.close())
  const port = String((other.address() as AddressInfo).port)
  const config = loadConfig({ env: {}, flags: { httpPort: port, grpcPort: '0' }, cwd: '/' })

  const [http, grpc] = await checkPorts(config)

  assert.deepEqual([http?.subject, http?.state, grpc?.state], ['MILLRACE_HTTP_PORT', 'problem', 'ok'])
  assert.match(http?.message ?? '', new RegExp(`127\\.0\\.0\\.1:${port} \\(EADDRINUSE\\)`))
})

test('sizes are shown in the largest unit that fits', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 256 * 1024 ** 2, 5.25 * 1024 ** 4].map(formatBytes), [
    '0 bytes',
    '1023 bytes',
    '1 KiB',
    '1.5 KiB',
    '256 MiB',
    '5.3 TiB',
  ])
})
