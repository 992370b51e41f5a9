import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { fastify } from 'fastify'
import { addConsoleRoutes } from './console-route.ts'

async function startWith(t: TestContext, files: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-console-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const write = (path: string, text: string) => {
    mkdirSync(join(directory, path, '..'), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  for (const [path, text] of Object.entries(files)) write(path, text)
  const app = fastify()
  t.after(() => app.close())
  addConsoleRoutes(app, { directory: pathToFileURL(`${directory}/`), substitute: () => 'not built' })
  return { write, get: (url: string, headers = {}) => app.inject({ url, headers }) }
}

test('the page is checked for a newer one each time, and runs no code of others; its files are kept', async (t) => {
  const { get } = await startWith(t, { 'index.html': '<p>page</p>', 'assets/a-1.js': 'let a', 'assets/b.map': '{}' })
  const [page, asset] = [await get('/'), await get('/assets/a-1.js')]

  assert.deepEqual([page.statusCode, page.body], [200, '<p>page</p>'])
  assert.equal(page.headers['cache-control'], 'no-cache')
  assert.equal(
    page.headers['content-security-policy'],
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  )
  assert.deepEqual([asset.statusCode, asset.body], [200, 'let a'])
  assert.equal(asset.headers['content-type'], 'text/javascript; charset=utf-8')
  assert.equal(asset.headers['cache-control'], 'public, max-age=31536000, immutable')
})

test('nothing else can be read', async (t) => {
  const { get } = await startWith(t, { 'index.html': '<p>page</p>', 'secret.js': 'let secret', 'assets/b.map': '{}' })
  for (const path of ['..%2Fsecret.js', '..%2F..%2Fpackage.json', 'b.map', '__proto__', '%00']) {
    assert.equal((await get(`/assets/${path}`)).statusCode, 500, path)
  }
})

test('browsers get it gzipped', async (t) => {
  const { get } = await startWith(t, { 'index.html': '<p>page</p>' })
  const { headers, rawPayload } = await get('/', { 'accept-encoding': 'gzip, br' })

  assert.deepEqual([headers['content-encoding'], headers.vary], ['gzip', 'accept-encoding'])
  assert.equal(gunzipSync(rawPayload).toString(), '<p>page</p>')
})

test('without a console the page says so, until one is built', async (t) => {
  const { get, write } = await startWith(t, {})
  const before = await get('/')
  write('index.html', '<p>page</p>')

  assert.deepEqual([before.statusCode, before.body, (await get('/')).body], [200, 'not built', '<p>page</p>'])
})
