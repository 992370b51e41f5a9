import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { cleanup } from '../../test/support/cleanup.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import type { Grant, KeyRequest } from '../pipeline/keys.ts'
import { openStore } from '../store/open-store.ts'
import { createLogger } from '../telemetry/logger.ts'
import { everything } from './grant.ts'
import { KeyRegistry } from './key-registry.ts'
import { KeyRing } from './key-ring.ts'
import { hashOfKey } from './key-text.ts'
import { sealSession } from './session.ts'

const anyTicket = { scopes: null, topics: null, types: null, usableForSeconds: null }

/** Two processes that share a database, and their clock. */
async function twoRegistries(t: TestContext) {
  const store = await openStore({ dataDir: tempDirectory(t), diskReserveBytes: 0 })
  cleanup(t, () => store.close())
  const clock = { nowMs: Date.UTC(2026, 0, 1) }
  const now = () => clock.nowMs
  const open = () => {
    let monotonicMs = 0
    // So that no read waits for the one before.
    const monotonicNow = () => (monotonicMs += 10_000)
    const ring = new KeyRing({ store, now, monotonicNow })
    return new KeyRegistry({ store, ring, logger: createLogger({ level: 'fatal' }), now })
  }
  const [here, there] = [open(), open()]
  const create = async (changed: Partial<KeyRequest>) => {
    const whole = { scopes: ['read'] as const, topics: null, types: null, ratePerSecond: null, expiresInSeconds: null }
    const { key, description } = await here.create({ name: 'shop', ...whole, ...changed })
    return { ...description, key, grant: (await here.check(key)) as Grant }
  }
  return { here, there, clock, create }
}

test('every process takes a ticket for its time, and it allows what ticket and key both allow', async (t) => {
  const { here, there, clock, create } = await twoRegistries(t)
  const { grant, keyId } = await create({ scopes: ['publish', 'read', 'subscribe', 'operate'], topics: ['eu.*'] })

  const { ticket, usableUntilMicros } = here.createTicket(grant, {
    ...anyTicket,
    ...{ scopes: ['read', 'operate'], topics: ['**'], types: ['order.*'], usableForSeconds: 2 },
  })

  assert.equal(usableUntilMicros, (clock.nowMs + 2000) * 1000)
  const opened = (await there.checkTicket(ticket)) as Grant
  assert.deepEqual([opened.keyId, opened.scopes, opened.expiresAtMs], [keyId, ['read', 'operate'], null])
  assert.deepEqual(['eu.orders', 'us.orders'].map(opened.allowsTopic), [true, false])
  assert.deepEqual(['order.paid', 'user.added'].map(opened.allowsType), [true, false])
  assert.deepEqual((await there.checkTicket(here.createTicket(grant, anyTicket).ticket))?.scopes, ['subscribe', 'read'])
  clock.nowMs += 1999
  assert.ok(await there.checkTicket(ticket))
  clock.nowMs += 1
  assert.equal(await there.checkTicket(ticket), null)
})

test('every process takes a session for 12 h, and it is the key', async (t) => {
  const { here, there, clock, create } = await twoRegistries(t)
  const [{ key }, short] = [await create({ scopes: ['admin'] }), await create({ expiresInSeconds: 60 })]

  const made = await here.createSession(key)
  const session = made?.session ?? ''

  assert.equal(made?.usableForSeconds, 12 * 60 * 60)
  assert.equal((await here.createSession(short.key))?.usableForSeconds, 60)
  assert.equal(await there.checkSession(session), await there.check(key))
  assert.equal(await there.check(session), null)
  assert.equal(await there.checkTicket(session), null)
  clock.nowMs += 12 * 60 * 60 * 1000 - 1
  assert.ok(await there.checkSession(session))
  clock.nowMs += 1
  assert.equal(await there.checkSession(session), null)
})

test('nobody makes a session without the key, and one that was changed is none', async (t) => {
  const { here, there, create } = await twoRegistries(t)
  const [first, second] = [await create({}), await create({})]
  const { session } = (await here.createSession(first.key))!
  const usableUntilMs = Number.MAX_SAFE_INTEGER
  // With what the database has.
  const sealed = sealSession(first.keyId, hashOfKey(first.key), { key: first.keyId, usableUntilMs })
  const wrong = [
    ...[sealed, sealSession(first.keyId, hashOfKey(second.key), { key: first.key, usableUntilMs })],
    ...[session.replace(first.keyId, second.keyId), session.slice(0, 60), ''],
    ...[17, 40, 150].map((at) => session.slice(0, at) + (session[at] === 'Q' ? 'g' : 'Q') + session.slice(at + 1)),
  ]

  for (const text of wrong) assert.equal(await there.checkSession(text), null, text)
  assert.ok(await there.checkSession(session))
  assert.equal(await here.createSession(session), null)
  await here.revoke(first.keyId)
  assert.equal(await here.checkSession(session), null)
})

test('a ticket ends with its key, and one that was changed is none', async (t) => {
  const { here, there, create } = await twoRegistries(t)
  const [first, second] = [await create({}), await create({})]
  const { ticket } = here.createTicket(first.grant, anyTicket)
  const other = here.createTicket(second.grant, anyTicket).ticket
  const [head, signature = ''] = ticket.split('.')

  assert.ok(await there.checkTicket(ticket))
  const wrong = [
    ticket.replace(first.keyId, second.keyId),
    `${head}.${other.split('.')[1]}`,
    `${head}A.${signature}`,
    `${head}.${signature.slice(1)}`,
    `${head}`,
    first.key,
    'x'.repeat(10_000),
  ]
  for (const text of wrong) assert.equal(await there.checkTicket(text), null, text)
  assert.equal(await there.check(ticket), null)

  await there.revoke(first.keyId)
  assert.equal(await there.checkTicket(ticket), null)
  assert.equal(await there.check(first.key), null)
  assert.ok(await there.checkTicket(other))
})

test('what a ticket may not have is refused', async (t) => {
  const { here, there, create } = await twoRegistries(t)
  const { grant, keyId } = await create({ scopes: ['publish', 'read'] })
  const refused = (given: Grant, request: object, problem: object) =>
    assert.throws(() => here.createTicket(given, { ...anyTicket, ...request }), problem)

  refused(grant, { scopes: ['publish'] }, { code: 'invalid_event', field: 'scopes' })
  refused(grant, { scopes: ['subscribe'] }, { code: 'permission_denied', field: 'scopes' })
  refused(grant, { usableForSeconds: 901 }, { code: 'invalid_event', field: 'usable_for' })
  refused(grant, { topics: ['a*'] }, { code: 'invalid_event', field: 'topics' })
  refused(grant, { topics: Array(64).fill('a'.repeat(60)) }, { code: 'invalid_event', message: /4096/ })
  const opened = (await there.checkTicket(here.createTicket(grant, anyTicket).ticket)) as Grant
  refused(opened, {}, { code: 'permission_denied' })
  refused(everything, {}, { code: 'unauthenticated' })
  await here.revoke(keyId)
  refused(grant, {}, { code: 'unauthenticated' })
})
