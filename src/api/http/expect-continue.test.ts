import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Access } from '../access.ts'
import { MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { speak, startTestServer } from './http-client.test-support.ts'

const body = '{"type":"a"}'

function head(headers: Record<string, string>): string {
  const all = { host: 'localhost', 'content-type': 'application/json', expect: '100-continue', ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST /v1/events HTTP/1.1\r\n${lines.join('')}\r\n`
}

test('a request that expects 100-continue is asked for its body when it is read', async (t) => {
  const { port, pipeline } = await startTestServer(t)

  const received = await speak(port, head({ 'content-length': String(body.length), connection: 'close' }), body)

  assert.match(received, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 202 /)
  assert.equal(pipeline.events.length, 1)
})

test('a request that is refused by its headers is not asked for its body, and its connection is closed', async (t) => {
  const { port } = await startTestServer(t)
  const keys = await startTestServer(t, { access: new Access(new MemoryPipeline(), true) })
  const refusals: [number, number, Record<string, string>][] = [
    [401, keys.port, {}],
    [413, port, { 'content-length': '5000000' }],
    [415, port, { 'content-encoding': 'compress' }],
    [415, port, { 'content-type': 'text/plain' }],
  ]
  for (const [status, to, headers] of refusals) {
    // Received until the server closes the connection.
    const received = await speak(to, head({ 'content-length': '12', ...headers }))
    assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(headers))
    assert.match(received, /connection: close/i)
  }
})
