import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cleanup } from '../../test/support/cleanup.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { openStore } from '../store/open-store.ts'
import { makeFirstKey } from './first-key.ts'
import { newKeyText, readKey } from './key-text.ts'

async function openedStore(t: Parameters<typeof tempDirectory>[0], dataDir = tempDirectory(t)) {
  const store = await openStore({ dataDir, diskReserveBytes: 0 })
  cleanup(t, () => store.close())
  return { store, dataDir }
}

test('of servers that start at once, one makes the first admin key and keeps it for its user alone', async (t) => {
  const { store, dataDir: storeDir } = await openedStore(t)
  const { store: sameStore } = await openedStore(t, storeDir)
  const dirs = [tempDirectory(t), tempDirectory(t)]
  const starts = [...dirs, ...dirs, ...dirs].map((dir, at) => makeFirstKey(at % 3 ? store : sameStore, dir, 1000))

  const [made, ...others] = (await Promise.all(starts)).filter((each) => each !== null)

  assert.equal(others.length, 0)
  assert.equal(readFileSync(made!.path, 'utf8'), `${made!.key}\n`)
  assert.equal(statSync(made!.path).mode & 0o777, 0o600)
  const unlucky = dirs.find((dir) => join(dir, 'admin.key') !== made!.path)!
  assert.throws(() => statSync(join(unlucky, 'admin.key')), { code: 'ENOENT' })
  const keys = await store.listApiKeys({ after: null, limit: 10 })
  assert.deepEqual(
    keys.map(({ keyId, name }) => [keyId, name]),
    [[keyIdOf(made!.key), 'admin']],
  )
  assert.equal(await makeFirstKey(store, unlucky, 2000), null)
})

test('a key that was left in the file is stored; one that was revoked is replaced', async (t) => {
  const { store, dataDir } = await openedStore(t)
  const path = join(dataDir, 'admin.key')
  const left = newKeyText()
  writeFileSync(path, `${left}\n`)

  assert.deepEqual(await makeFirstKey(store, dataDir, 1000), { key: left, path })
  assert.equal(await makeFirstKey(store, dataDir, 1000), null)
  await store.revokeApiKey(keyIdOf(left), 1_000_000)
  const next = await makeFirstKey(store, dataDir, 1000)

  assert.notEqual(next?.key, left)
  assert.equal(readFileSync(path, 'utf8'), `${next?.key}\n`)
})

test('when the file cannot be written, no key is stored', async (t) => {
  const { store, dataDir } = await openedStore(t)
  writeFileSync(join(dataDir, 'file'), '')
  const problem = { code: 'failed_precondition', field: 'MILLRACE_DATA_DIR' }
  await assert.rejects(makeFirstKey(store, join(dataDir, 'file'), 1000), problem)
  assert.deepEqual(await store.listApiKeys({ after: null, limit: 1 }), [])
})

function keyIdOf(key: string): string {
  const reading = readKey(key)
  assert.ok('keyId' in reading)
  return reading.keyId
}
