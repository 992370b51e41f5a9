import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { cleanup } from './cleanup.ts'
import { RedisServer } from './redis-server.ts'

test('a killed server restarts with all acknowledged data, and leaves nothing behind when the test ends', async (t) => {
  const server = await RedisServer.create({ flushes: true })
  cleanup(t, () => server.destroy())
  assert.equal(await server.command('SET', 'a', '1'), '+OK\r\n')
  await server.stop('SIGKILL')
  await assert.rejects(server.command('PING'))
  await server.start()
  assert.equal(await server.command('GET', 'a'), '$1\r\n1\r\n')
  assert.match(await server.command('CONFIG', 'GET', 'appendfsync'), /always/)
  await server.destroy()
  assert.equal(existsSync(server.directory), false)
})
