// The HTTP API under a path, behind a proxy of another maker.

import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { type TestContext, test } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { startNginx } from '../support/nginx.ts'

const proxied =
  'proxy_http_version 1.1; proxy_set_header Host $host; proxy_request_buffering off; client_max_body_size 0;'

/** Each way to pass a path on, with what the server is told. */
const ways = {
  'the proxy leaves the path, which is MILLRACE_BASE_PATH': {
    basePath: '/apps/events',
    location: (to: string) => `location /apps/events/ { proxy_pass http://${to}; ${proxied} }`,
  },
  'the proxy removes the path, which is MILLRACE_BASE_PATH': {
    basePath: '/apps/events',
    location: (to: string) => `location /apps/events/ { proxy_pass http://${to}/; ${proxied} }`,
  },
  'the proxy removes the path and names it in X-Forwarded-Prefix': {
    basePath: '/',
    location: (to: string) =>
      `location /apps/events/ { proxy_pass http://${to}/; proxy_set_header X-Forwarded-Prefix /apps/events; ${proxied} }`,
  },
}

for (const [way, { basePath, location }] of Object.entries(ways)) {
  test(`behind nginx every route works under its path, and links lead there: ${way}`, async (t) => {
    const server = await startInProcess(t, { env: { MILLRACE_BASE_PATH: basePath } })
    const nginx = await startNginx(t, [location(server.http)])
    const origin = `http://${nginx}`
    const base = `${origin}/apps/events`
    const json = { 'content-type': 'application/json' }

    const published = await fetch(`${base}/v1/events`, { method: 'POST', headers: json, body: '{"type":"a","id":"1"}' })
    assert.equal(published.status, 202)
    await streamsLines(t, base)
    await eventually(async () => {
      const listed = (await (await fetch(`${base}/v1/events?limit=1`)).json()) as { next_cursor: string | null }
      assert.notEqual(listed.next_cursor, null)
      const next = await fetch(`${base}/v1/events?limit=1&cursor=${listed.next_cursor}`)
      assert.equal(((await next.json()) as { events: unknown[] }).events.length, 1)
    })

    const stored = await fetch(`${base}/v1/files`, { method: 'POST', body: 'some words' })
    assert.equal(stored.status, 201)
    const file = await fetch(new URL(stored.headers.get('location')!, origin))
    assert.equal(((await file.json()) as { size: number }).size, 10)

    const asked = await fetch(`${base}/v1/requests/text.analyze`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', prefer: 'respond-async' },
      body: 'two words',
    })
    assert.equal(asked.status, 202)
    const reply = await fetch(new URL(asked.headers.get('location')!, origin), { headers: { prefer: 'wait=10' } })
    assert.equal(((await reply.json()) as { words: number }).words, 2)

    for (const path of ['/', '/readyz', '/v1/status']) assert.equal((await fetch(`${base}${path}`)).status, 200, path)
    assert.equal((await fetch(`${base}/nothing`)).status, 404)
  })
}

/** A live stream brings a line of an NDJSON body that has not ended. */
async function streamsLines(t: TestContext, base: string): Promise<void> {
  const live = await fetch(`${base}/v1/events/live?type=reading`)
  assert.equal(live.status, 200)
  const headers = { 'content-type': 'application/x-ndjson' }
  const body = httpRequest(`${base}/v1/events`, { method: 'POST', headers })
  t.after(() => body.destroy())
  const answered = new Promise<number>((resolve, reject) => {
    body.once('error', reject).once('response', (answer) => resolve(answer.resume().statusCode!))
  })
  body.write('{"type":"reading","data":1}\n')
  let text = ''
  for await (const part of live.body!.pipeThrough(new TextDecoderStream())) {
    text += part
    if (text.includes('"reading"')) break
  }
  body.end('{"type":"reading","data":2}\n')
  assert.equal(await answered, 202)
}

test('a prefix that is no path is ignored, and a path that only begins like the base path is another', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_BASE_PATH: '/events' } })
  const store = async (prefix: string) => {
    const headers = { 'x-forwarded-prefix': prefix }
    const answer = await fetch(`http://${server.http}/events/v1/files`, { method: 'POST', body: 'x', headers })
    return answer.headers.get('location') ?? ''
  }
  for (const prefix of ['//evil.example', '/a/../b', 'https://evil.example', `/${'a'.repeat(300)}`, '/a b'])
    assert.match(await store(prefix), /^\/events\/v1\/files\/[^/]+$/, prefix)
  assert.match(await store('/outer/events/'), /^\/outer\/events\/v1\/files\/[^/]+$/)
  assert.equal((await fetch(`http://${server.http}/eventsx/livez`)).status, 404)
  assert.equal((await fetch(`http://${server.http}/events?x`)).status, 200)
})
