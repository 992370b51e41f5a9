import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../errors.ts'
import type { Grant } from '../pipeline/keys.ts'
import type { StoredApiKey } from '../store/api-keys.ts'
import { openStore } from '../store/open-store.ts'
import { KeyRing } from './key-ring.ts'
import { hashOfKey, newKeyText, readKey, withChecksum } from './key-text.ts'

const startMs = Date.UTC(2026, 0, 1, 12, 0, 30)

async function openTest(t: TestContext) {
  const dataDir = mkdtempSync(join(tmpdir(), 'key-ring-'))
  const store = await openStore({ dataDir, diskReserveBytes: 0 })
  let isOut = false
  let reads = 0
  const clock = { nowMs: startMs }
  const openRing = () => {
    let monotonicMs = 0
    return new KeyRing({
      store: {
        listApiKeys: async (query) => {
          reads++
          if (isOut) throw new MillraceError('unavailable', 'the store is out')
          return await store.listApiKeys(query)
        },
        noteApiKeysUsed: (uses) => store.noteApiKeysUsed(uses),
      },
      now: () => clock.nowMs,
      // So that no read waits for the one before.
      monotonicNow: () => (monotonicMs += 10_000),
    })
  }
  t.after(async () => {
    await store.close()
    rmSync(dataDir, { recursive: true })
  })
  const insert = async (changed: Partial<StoredApiKey> = {}) => {
    const text = newKeyText()
    const key = { ...storedKey(text), ...changed }
    assert.equal(await store.insertApiKey(key, false), 'inserted')
    return { text, key }
  }
  return { store, clock, openRing, insert, reads: () => reads, outage: (out: boolean) => (isOut = out) }
}

function storedKey(text: string): StoredApiKey {
  const reading = readKey(text)
  assert.ok('keyId' in reading)
  const { keyId } = reading
  return {
    ...{ keyId, name: keyId, hash: hashOfKey(text), scopes: ['read'], topics: null, types: null, ratePerSecond: null },
    ...{ createdAtMicros: startMs * 1000, expiresAtMicros: null, revokedAtMicros: null, lastUsedAtMicros: null },
  }
}

test('a key made elsewhere is valid at once, from then on without a wait, and its use is noted to the minute', async (t) => {
  const { store, clock, openRing, insert, reads } = await openTest(t)
  const ring = openRing()
  const { text, key } = await insert({ scopes: ['publish', 'read'], topics: ['orders'], ratePerSecond: 5 })

  const grant = (await ring.check(text)) as Grant
  assert.deepEqual([grant.keyId, grant.name, grant.topics, grant.ratePerSecond], [key.keyId, key.keyId, ['orders'], 5])
  assert.deepEqual([grant.allows('publish'), grant.allows('admin')], [true, false])
  assert.equal(ring.check(text), grant)
  assert.equal(reads(), 1)

  clock.nowMs += 1000
  ring.check(text)
  ring.start()
  await ring.close()
  const [stored] = await store.listApiKeys({ after: null, limit: 10 })
  assert.equal(stored?.lastUsedAtMicros, (startMs - 30_000) * 1000)
})

test('every wrong key is refused alike: after one read of the store, then from memory', async (t) => {
  const { store, clock, openRing, insert, reads } = await openTest(t)
  const ring = openRing()
  const right = await insert()
  const revoked = await insert()
  await store.revokeApiKey(revoked.key.keyId, startMs * 1000)
  const expired = await insert({ expiresAtMicros: (clock.nowMs + 1) * 1000 })
  clock.nowMs += 1
  await ring.readAgain()
  const otherSecret = withChecksum(right.text.slice(0, 16) + newKeyText().slice(16, 48))

  for (const text of [newKeyText(), otherSecret, revoked.text, expired.text]) {
    const before = reads()
    assert.equal(await ring.check(text), null)
    assert.equal(reads(), before + 1)
    assert.equal(ring.check(text), null)
    assert.equal(reads(), before + 1)
  }
  assert.equal(ring.check(`${right.text}x`), null)
  assert.equal((await ring.check(right.text))?.keyId, right.key.keyId)
})

test('when a key is revoked elsewhere, or expires, its listeners are called and it is refused', async (t) => {
  const { store, clock, openRing, insert } = await openTest(t)
  const ring = openRing()
  const [revoked, expiring, stays] = [
    await insert(),
    await insert({ expiresAtMicros: startMs * 1000 + 1 }),
    await insert(),
  ]
  ring.start()
  t.after(() => ring.close())
  const ended: string[] = []
  for (const { text, key } of [revoked, expiring, stays]) {
    assert.ok(await ring.check(text))
    ring.onEnded(key.keyId, () => ended.push(key.keyId))
    ring.onEnded(key.keyId, () => assert.fail('was taken back'))()
  }

  await store.revokeApiKey(revoked.key.keyId, startMs * 1000)
  clock.nowMs += 1
  await ring.readAgain()

  assert.deepEqual(ended.sort(), [revoked.key.keyId, expiring.key.keyId].sort())
  for (const { text } of [revoked, expiring]) assert.equal(await ring.check(text), null)
  assert.ok(ring.check(stays.text))
  await new Promise<void>((resolve) => ring.onEnded(revoked.key.keyId, resolve))
})

test('an outage of the store shuts nobody out, and judges no key that is new', async (t) => {
  const { openRing, insert, outage } = await openTest(t)
  const ring = openRing()
  const { text } = await insert()
  await ring.readAgain()
  const later = await insert()

  outage(true)
  assert.equal(await ring.readAgain(), false)
  assert.ok(ring.check(text))
  for (const unknown of [later.text, newKeyText()])
    await assert.rejects(async () => await ring.check(unknown), { code: 'unavailable' })

  outage(false)
  assert.ok(await ring.check(later.text))
})
