import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { projectRoot } from '../support/server-process.ts'

/** Each route under /v1 of docs/http.md, with its method and a path. */
const routes = [...readFileSync(join(projectRoot, 'docs/http.md'), 'utf8').matchAll(/^\| `(\w+) (\/v1\/[^?`]+)/gm)].map(
  ([, method = '', path = '']) => ({ method, path: path.replace('{id}', 'a') }),
)

interface Answer {
  readonly status: number
  readonly body: { readonly code?: string; readonly field?: string; readonly detail?: string }
}

/** Not fetch, which sets Host itself. */
function ask(server: InProcessServer, method: string, path: string, headers: OutgoingHttpHeaders): Promise<Answer> {
  const [host, port] = server.http.split(':')
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host, port, method, path, headers, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part) => {
        text += part
      })
      answer.on('end', () => {
        const isJson = answer.headers['content-type']?.includes('json') === true && text !== ''
        resolve({ status: answer.statusCode ?? 0, body: isJson ? JSON.parse(text) : {} })
      })
    })
    request.on('error', reject)
    request.end()
  })
}

test('no route under /v1 answers a page of another site', async (t) => {
  const server = await startInProcess(t)
  const foreign: [string, OutgoingHttpHeaders][] = [
    ['host', { host: 'evil.example:8080' }],
    ['host', { host: 'localhost.evil.example' }],
    ['host', { host: '127.0.0.1.evil.example' }],
    ['host', { host: 'evil@127.0.0.1' }],
    ['origin', { host: 'localhost:8080', origin: 'http://evil.example' }],
    ['origin', { host: 'localhost:8080', origin: 'http://localhost:3000' }],
    ['origin', { host: 'localhost:8080', origin: 'http://localhost.evil.example:8080' }],
    ['origin', { host: 'localhost:8080', origin: 'null' }],
    ['sec-fetch-site', { host: 'localhost:8080', 'sec-fetch-site': 'cross-site' }],
  ]

  assert.ok(routes.length >= 8, 'the routes of docs/http.md were found')
  for (const { method, path } of routes) {
    for (const [field, headers] of foreign) {
      const { status, body } = await ask(server, method, path, headers)
      const what = `${method} ${path} with ${JSON.stringify(headers)}`
      assert.deepEqual([status, body.code, body.field], [403, 'permission_denied', field], what)
    }
  }
  for (const path of ['/%76%31/status', '//v1/status', '/v1/status/', '/V1/status']) {
    assert.notEqual((await ask(server, 'GET', path, { host: 'evil.example' })).status, 200, path)
  }
})

test('a server answers under its own names, and a proxy or container under those of MILLRACE_ALLOWED_HOSTS', async (t) => {
  const env = { MILLRACE_ALLOWED_HOSTS: 'Events.Example, millrace' }
  const server = await startInProcess(t, { env })
  const own: OutgoingHttpHeaders[] = [
    { host: 'localhost' },
    { host: 'LOCALHOST:8080' },
    { host: '127.0.0.1:9' },
    { host: '192.168.1.2' },
    { host: '[::1]:8080' },
    { host: hostname() },
    { host: 'millrace:8080' },
    { host: 'events.example', origin: 'https://events.example' },
    { host: 'localhost:80', origin: 'http://localhost' },
    { host: '[::1]:8080', origin: 'http://[::1]:8080', 'sec-fetch-site': 'same-origin' },
    { host: 'localhost', 'sec-fetch-site': 'none' },
  ]
  for (const headers of own) {
    assert.equal((await ask(server, 'GET', '/v1/status', headers)).status, 200, JSON.stringify(headers))
  }
  for (const path of ['/livez', '/readyz', '/metrics', '/version']) {
    assert.equal((await ask(server, 'GET', path, { host: 'pod-7.probe' })).status, 200, path)
  }
  const refused = await ask(server, 'GET', '/v1/status', { host: 'other.example' })
  assert.match(refused.body.detail ?? '', /"other\.example".*MILLRACE_ALLOWED_HOSTS/)
})
