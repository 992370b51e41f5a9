import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { loadConfig } from '../config/config.ts'
import { connectOptions } from './server-addresses.ts'

test('commands send the configured key, else the admin key of the data directory, which never leaves the machine', (t) => {
  const dataDir = tempDirectory(t)
  const keyWith = (settings: Record<string, string>) => {
    const env = { MILLRACE_DATA_DIR: dataDir, ...settings }
    return connectOptions(loadConfig({ env, cwd: '/', isForClient: true })).key
  }
  assert.equal(keyWith({}), null)

  writeFileSync(join(dataDir, 'admin.key'), 'mr_admin\n')

  assert.equal(keyWith({}), 'mr_admin')
  assert.equal(keyWith({ MILLRACE_ADDRESS: '127.0.0.1:1,[::1]:2,localhost:3' }), 'mr_admin')
  assert.equal(keyWith({ MILLRACE_ADDRESS: '127.0.0.1:1,192.0.2.1:2' }), null)
  assert.equal(keyWith({ MILLRACE_ADDRESS: 'example.com:1', MILLRACE_KEY: 'mr_own' }), 'mr_own')
})
