// The session of a browser: a login with a key, kept in a cookie that is not the key.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { newKeyText } from '../../src/access/key-text.ts'
import { connect } from '../../src/client/connect.ts'
import { type KeyRequest, scopes } from '../../src/pipeline/keys.ts'
import { cleanup } from '../support/cleanup.ts'
import { within } from '../support/eventually.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { serverSentEvents } from '../support/server-sent-events.ts'

const path = '/v1/session'

async function openTest(t: TestContext, isBehindGateway: boolean) {
  const env = { MILLRACE_AUTH: 'keys', MILLRACE_CORS_ORIGINS: 'https://app.example' }
  const server = await startInProcess(t, { env, topics: ['orders', 'other'], isBehindGateway })
  const admin = connect({
    addresses: [server.grpc],
    key: readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim(),
  })
  cleanup(t, () => admin.close())
  const keyOf = async (limits: Partial<KeyRequest> = {}) => await admin.keys.create({ name: 'shop', scopes, ...limits })
  /** As a browser sends it, from a page of the server unless other headers say so. */
  const ask = async (method: string, to: string, headers: Record<string, string> = {}, body?: object) => {
    const answer = await request(server.http, to, {
      method,
      headers: {
        ...(method === 'GET' ? {} : { origin: `http://${server.http}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { ...answer, json: answer.text.startsWith('{') ? JSON.parse(answer.text) : null }
  }
  const logIn = async (key: string, headers: Record<string, string> = {}) => {
    const { status, headers: given, json } = await ask('POST', path, headers, { key })
    const setCookie = given.get('set-cookie')
    return { status, json, challenge: given.get('www-authenticate'), setCookie, cookie: setCookie?.split(';')[0] ?? '' }
  }
  return { server, admin, keyOf, ask, logIn }
}

for (const isBehindGateway of [false, true]) {
  const where = isBehindGateway ? ', through a gateway' : ''

  test(`a login with a key gives a cookie that is not the key, and the session does what the key may${where}`, async (t) => {
    const { server, keyOf, ask, logIn } = await openTest(t, isBehindGateway)
    const { key } = await keyOf({ scopes: ['publish', 'read', 'admin'], topics: ['orders'] })
    const own = { name: 'shop', scopes: ['publish', 'read', 'admin'], topics: ['orders'], types: null }

    const { status, json, setCookie, cookie } = await logIn(key)
    const again = await logIn(key, { origin: `https://${server.http}` })

    assert.equal(status, 200)
    assert.deepEqual(json, { needs_key: true, key: own })
    assert.match(setCookie ?? '', /^millrace-session=mrs_\S+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/)
    assert.match(again.setCookie ?? '', /; Secure$/)
    assert.notEqual(again.cookie, cookie)
    assert.ok(!decodeURIComponent(cookie).includes(key.slice(16)))
    const withCookie = { cookie: `theme=dark; ${cookie}` }
    assert.deepEqual((await ask('GET', path, withCookie)).json, { needs_key: true, key: own })
    assert.deepEqual((await ask('GET', path)).json, { needs_key: true, key: null })
    const done = [
      await ask('POST', '/v1/events?topic=orders', withCookie, { type: 'a' }),
      await ask('POST', '/v1/events?topic=other', withCookie, { type: 'a' }),
      await ask('GET', '/v1/events', withCookie),
      await ask('GET', '/v1/events/live?topic=orders', withCookie),
      await ask('POST', '/v1/tickets', withCookie, { scopes: ['read'] }),
      await ask('GET', '/v1/status', { authorization: `Bearer ${cookie.split('=')[1]}` }),
      await ask('GET', '/v1/status', { ...withCookie, authorization: 'Bearer wrong' }),
    ]
    assert.deepEqual(
      done.map((each) => each.status),
      [202, 404, 200, 403, 201, 200, 401],
    )
    const out = await ask('DELETE', path, withCookie)
    assert.deepEqual(out.json, { needs_key: true, key: null })
    assert.match(out.headers.get('set-cookie') ?? '', /^millrace-session=; Path=\/; Max-Age=0; /)
    assert.ok(!server.stderr.includes(key.slice(16)) && !server.stderr.includes(cookie.split('=')[1]!))
  })

  test(`what is no valid key logs nobody in, and is answered as everywhere${where}`, async (t) => {
    const { admin, keyOf, ask, logIn } = await openTest(t, isBehindGateway)
    const { key, description } = await keyOf()
    await admin.keys.revoke(description.keyId)

    const refused = [await logIn(key), await logIn(newKeyText()), await logIn('mr_x'), await logIn('')]

    // `instance` names the request.
    assert.equal(new Set(refused.map(({ json }) => JSON.stringify({ ...json, instance: null }))).size, 1)
    for (const { status, challenge, setCookie } of refused) {
      assert.deepEqual([status, challenge, setCookie], [401, 'Bearer realm="millrace", error="invalid_token"', null])
    }
    const wrong = await ask('POST', path, {}, { key: 1 })
    assert.deepEqual([wrong.status, wrong.json.field], [400, 'key'])
  })

  test(`fault S16: a session is for pages of the server itself${where}`, async (t) => {
    const { server, keyOf, ask, logIn } = await openTest(t, isBehindGateway)
    const { key } = await keyOf()
    const { cookie } = await logIn(key)
    const own = `http://${server.http}`
    const refused: readonly [string, Record<string, string>][] = [
      ['POST', { origin: 'https://evil.example' }],
      ['POST', { origin: 'https://app.example' }],
      ['POST', { origin: 'http://127.0.0.1:1' }],
      ['POST', { origin: own, 'sec-fetch-site': 'same-site' }],
      ['GET', { origin: 'https://app.example' }],
      ['GET', { 'sec-fetch-site': 'same-site' }],
      ['GET', { 'sec-fetch-site': 'cross-site' }],
    ]
    const bare = (method: string, headers: Record<string, string>) =>
      request(server.http, '/v1/status', { method, headers: { cookie, ...headers } })

    for (const [method, headers] of refused) {
      const { status } =
        method === 'GET'
          ? await bare(method, headers)
          : await ask(method, '/v1/events', { cookie, ...headers }, { type: 'a' })
      assert.equal(status, 403, `${method} ${JSON.stringify(headers)}`)
    }
    const post = { method: 'POST', headers: { cookie, 'content-type': 'application/json' }, body: '{"type":"a"}' }
    const unproven = await request(server.http, '/v1/events', post)
    assert.deepEqual([unproven.status, JSON.parse(unproven.text).field], [403, 'origin'])
    const proven = { ...post, headers: { ...post.headers, 'sec-fetch-site': 'same-origin' } }
    assert.equal((await request(server.http, '/v1/events', proven)).status, 202)
    for (const site of ['same-origin', 'none'])
      assert.equal((await bare('GET', { 'sec-fetch-site': site })).status, 200)
    assert.equal((await ask('GET', '/', { cookie, 'sec-fetch-site': 'cross-site' })).status, 200)
  })

  test(`a session and what it has opened end with the key${where}`, async (t) => {
    const { server, admin, keyOf, ask, logIn } = await openTest(t, isBehindGateway)
    const { key, description } = await keyOf()
    const { cookie } = await logIn(key)
    const opened = Promise.withResolvers<void>()
    const stream = async () => {
      let last = ''
      for await (const { event } of serverSentEvents(`http://${server.http}/v1/events/live?topic=orders`, {
        headers: { cookie },
      })) {
        last = event
        opened.resolve()
      }
      return last
    }
    const ended = stream()
    await opened.promise

    await admin.keys.revoke(description.keyId)

    assert.equal(await within(5000, 'the end of the stream', ended), 'problem')
    assert.equal((await ask('GET', '/v1/status', { cookie })).status, 401)
    assert.deepEqual((await ask('GET', path, { cookie })).json, { needs_key: true, key: null })
  })

  test(`a server that asks for no key says so, and makes no session${where}`, async (t) => {
    const server = await startInProcess(t, { isBehindGateway })

    const state = await request(server.http, path)
    const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"key":"any"}' }
    const login = await request(server.http, path, post)

    for (const { status, text, headers } of [state, login]) {
      assert.deepEqual(
        [status, JSON.parse(text), headers.get('set-cookie')],
        [200, { needs_key: false, key: null }, null],
      )
    }
  })
}
