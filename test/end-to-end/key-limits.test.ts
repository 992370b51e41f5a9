// What a key limits while it is used: types, rate, whose requests; and what ends with it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { newKeyText, withChecksum } from '../../src/access/key-text.ts'
import { type Client, connect } from '../../src/client/connect.ts'
import type { MillraceError } from '../../src/errors.ts'
import { type KeyRequest, scopes } from '../../src/pipeline/keys.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'

async function openTest(t: TestContext, env: Record<string, string> = {}) {
  const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys', ...env }, topics: ['orders'] })
  const clientWith = (key: string): Client => {
    const client = connect({ addresses: [server.grpc], key })
    cleanup(t, () => client.close())
    return client
  }
  const admin = clientWith(readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim())
  const keyOf = async (name: string, limits: Partial<KeyRequest> = {}) => {
    const { key, description } = await admin.keys.create({ name, scopes, ...limits })
    return { key, keyId: description.keyId, client: clientWith(key) }
  }
  return { server, admin, keyOf }
}

const send = (server: InProcessServer, path: string, key: string | null, body: string, headers = {}) =>
  request(server.http, path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    },
    body,
  })

test('events of other types are rejected one by one, and their neighbours are taken', async (t) => {
  const { server, keyOf } = await openTest(t)
  const { key, client } = await keyOf('shop', { types: ['order.*'] })

  const events = ['order.placed', 'user.added', 'order.paid', 'order.paid.twice'].map((type) => ({ id: type, type }))
  const verdict = await client.publishEvents(events)
  const none = await send(server, '/v1/events', key, '{"type":"user.added"}')

  assert.equal(verdict.accepted, 2)
  assert.deepEqual(
    verdict.rejections.map(({ index, id, code }) => [index, id, code]),
    [
      [1, 'user.added', 'permission_denied'],
      [3, 'order.paid.twice', 'permission_denied'],
    ],
  )
  assert.match(verdict.rejections[0]!.message, /the key is not for the type "user.added"/)
  assert.deepEqual([none.status, JSON.parse(none.text).code], [403, 'permission_denied'])
})

test('a key publishes at its rate within 1 %, and what comes too soon is told when to come again', async (t) => {
  const { keyOf } = await openTest(t)
  const ratePerSecond = 100
  const { client } = await keyOf('shop', { ratePerSecond })
  const events = [{ type: 'a' }, { type: 'b' }, { type: 'c' }]
  const stop = new AbortController()
  let accepted = 0
  let hints = 0
  const send = async () => {
    while (!stop.signal.aborted) {
      const verdict = await client.publishEvents(events, { overflow: 'wait' })
      accepted += verdict.accepted
    }
  }
  const sendTooSoon = async () => {
    while (!stop.signal.aborted) {
      const refused = await client.publishEvents(events, { overflow: 'reject' }).catch((error: MillraceError) => error)
      if ('accepted' in refused) accepted += refused.accepted
      else if (refused.code === 'backlogged' && refused.retryAfterMs! > 0) hints++
      else throw refused
      await sleep(100)
    }
  }

  const startedAt = performance.now()
  // Two seconds' events wait at any time, so that pauses of a busy machine do not keep the key from its rate.
  const sending = Promise.all([...Array.from({ length: 66 }, send), sendTooSoon()])
  const rateFrom = ([fromMs, before] = [startedAt, 0]) => ((accepted - before) / (performance.now() - fromMs)) * 1000
  await Promise.race([eventually(() => assert.ok(accepted > 150)), sending])
  const warm: [number, number] = [performance.now(), accepted]
  const rates: number[] = []
  // A pause at an end weighs less in a longer time; a wrong rate stays wrong.
  for (let seconds = 3; seconds <= 48; seconds *= 2) {
    await Promise.race([sleep(warm[0] + seconds * 1000 - performance.now()), sending])
    rates.push(rateFrom(warm))
    assert.ok(rateFrom() < ratePerSecond * 1.01, `${rateFrom()} events per second from the start`)
    if (Math.abs(rates.at(-1)! / ratePerSecond - 1) < 0.01) break
  }
  stop.abort()
  await sending

  t.diagnostic(`${rates.map((rate) => rate.toFixed(1))} of ${ratePerSecond} events per second`)
  assert.ok(Math.abs(rates.at(-1)! / ratePerSecond - 1) < 0.01, `${rates} events per second`)
  assert.ok(hints > 0)
})

test('the id of a request belongs to the name of its key', async (t) => {
  const { keyOf } = await openTest(t)
  const [shop, next, other] = [await keyOf('shop'), await keyOf('shop'), await keyOf('other')]
  const ask = (client: Client, data: string) => client.request({ type: 'text.analyze', data, requestId: 'same-id' })

  const one = await ask(shop.client, 'one')
  const two = await ask(other.client, 'two words')

  assert.deepEqual(
    [(await one.json()) as object, (await two.json()) as object].map((each) => JSON.stringify(each)),
    ['{"words":1,"characters":3,"lines":1}', '{"words":2,"characters":9,"lines":1}'],
  )
  const again = await next.client.getReply('same-id', { type: 'text.analyze' })
  assert.equal(again.stage, 'replied')
})

test('fault S11: 1,000 open streams end within 5 s of the end of their key, and others go on', async (t) => {
  const { server, admin, keyOf } = await openTest(t)
  const [ended, stays] = [await keyOf('ended'), await keyOf('stays')]
  const open = (key: string, count: number) => {
    const paths = ['IngestService/PublishStream', 'IngestService/Produce', 'WorkService/Consume', 'FileService/Upload']
    return Array.from({ length: count / 100 }, () => {
      const session = connectHttp2(`http://${server.grpc}`)
      cleanup(t, () => session.destroy())
      return Array.from({ length: 100 }, (_, index) => {
        const ended = Promise.withResolvers<number>()
        const stream = session.request({
          ...{ ':method': 'POST', ':path': `/millrace.v1.${paths[index % paths.length]}`, te: 'trailers' },
          ...{ 'content-type': 'application/grpc', authorization: `Bearer ${key}` },
        })
        const read = (headers: Record<string, unknown>) => {
          if (headers['grpc-status'] !== undefined) ended.resolve(Number(headers['grpc-status']))
        }
        stream
          .on('response', read)
          .on('trailers', read)
          .on('error', () => {})
        stream.resume()
        return ended.promise
      })
    }).flat()
  }
  const ending = open(ended.key, 1000)
  const going = open(stays.key, 100)
  // Sent behind the streams of its connection, so all of them are open when it is answered.
  await Promise.all([ended.client.status(), stays.client.status()])

  const startedAt = performance.now()
  await admin.keys.revoke(ended.keyId)
  const statuses = await within(5000, 'the end of the streams', Promise.all(ending))

  assert.deepEqual([...new Set(statuses)], [16])
  t.diagnostic(`1,000 streams ended within ${Math.round(performance.now() - startedAt)} ms`)
  assert.equal(await Promise.race([...going, 'open']), 'open')
  await assert.rejects(ended.client.status(), { code: 'unauthenticated' })
})

test('a body that is still sent is cut off when its key ends, and the request that revokes its own key is answered', async (t) => {
  const { server, keyOf } = await openTest(t)
  const { key, keyId } = await keyOf('ended')
  const body = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{"type":"a"}\n')) })
  const uploading = fetch(`http://${server.http}/v1/events`, {
    ...{ method: 'POST', body, duplex: 'half' },
    headers: { 'content-type': 'application/x-ndjson', authorization: `Bearer ${key}` },
  } as RequestInit)
  const headers = { authorization: `Bearer ${key}` }

  const revoked = await request(server.http, `/v1/keys/${keyId}`, { method: 'DELETE', headers })

  assert.equal(revoked.status, 200)
  await within(5000, 'the end of the body', assert.rejects(uploading))
})

test('a key in a URL is refused, a ticket there is taken, and neither is in the log', async (t) => {
  const { server, keyOf } = await openTest(t)
  const { key, client } = await keyOf('shop')
  const made = JSON.parse((await send(server, '/v1/tickets', key, '{"scopes":["read"]}')).text)

  const inUrl = await request(server.http, `/v1/events?key=${key}`)
  const withTicket = await request(server.http, `/v1/events?ticket=${made.ticket}`)
  const wrongTicket = await request(server.http, `/v1/events?ticket=${made.ticket.slice(0, -2)}AA`)
  const asHeader = await request(server.http, '/v1/status', { headers: { authorization: `Bearer ${made.ticket}` } })
  const misplaced = await request(server.http, `/v1/${key}/x`, { headers: { 'x-request-id': key } })
  await assert.rejects(client.publishEvents([{ type: key, data: 1 }], { topic: key }))
  await assert.rejects(client.administration.journey({ id: key }))

  assert.deepEqual(
    [inUrl, withTicket, wrongTicket, asHeader, misplaced].map(({ status }) => status),
    [...[400, 200, 401, 200, 404]],
  )
  assert.match(inUrl.text, /a key is in the URL/)
  assert.match(wrongTicket.headers.get('www-authenticate') ?? '', /invalid_token/)
  assert.ok(!server.stderr.includes(key.slice(-38)), server.stderr)
  assert.ok(!server.stderr.includes(made.ticket))
})

test('where keys are asked for any Host is taken, and pages of other origins are refused before the key is looked at, but those that are named', async (t) => {
  const { server, keyOf } = await openTest(t, { MILLRACE_CORS_ORIGINS: 'https://app.example' })
  const { key } = await keyOf('shop')
  const ask = (headers: Record<string, string>, method = 'GET') => {
    const answered = Promise.withResolvers<IncomingMessage>()
    const [host, port] = server.http.split(':')
    const path = '/v1/events'
    requestHttp({ host, port, path, method, headers }, answered.resolve).on('error', answered.reject).end()
    return answered.promise.then((answer) => answer.resume())
  }
  const authorization = `Bearer ${key}`
  const named = { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' }

  const byName = await ask({ host: 'events.example', authorization })
  const foreign: Record<string, string>[] = [{ origin: 'https://other.example' }, { 'sec-fetch-site': 'cross-site' }]
  const refused = await Promise.all(foreign.map((page) => ask({ ...page, authorization: 'Bearer wrong' })))
  const preflight = await ask(
    { ...named, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    'OPTIONS',
  )
  const allowed = await ask({ ...named, authorization })

  assert.equal(byName.statusCode, 200)
  assert.deepEqual(
    refused.map(({ statusCode }) => statusCode),
    [403, 403],
  )
  assert.equal(preflight.statusCode, 204)
  assert.equal(preflight.headers['access-control-allow-headers'], 'authorization')
  assert.deepEqual([allowed.statusCode, allowed.headers['access-control-allow-origin']], [200, 'https://app.example'])
  assert.equal((await ask(named)).statusCode, 401)
})

test('fault S7: every wrong key that was refused before is refused after the same time', async (t) => {
  const { server, admin, keyOf } = await openTest(t)
  const right = await keyOf('right')
  const revoked = await keyOf('revoked')
  await admin.keys.revoke(revoked.keyId)
  const otherSecret = withChecksum(right.key.slice(0, 16) + newKeyText().slice(16, 48))
  const wrong = [newKeyText(), otherSecret, revoked.key]
  const timeMs = async (key: string) => {
    const startedAt = performance.now()
    await request(server.http, '/v1/status', { headers: { authorization: `Bearer ${key}` } })
    return performance.now() - startedAt
  }
  await Promise.all(wrong.map(timeMs))

  /** The longest by the shortest, of the means of each key's fastest tenth: what the machine does besides only adds to them. */
  const ratio = async () => {
    const times = wrong.map((): number[] => [])
    for (let round = 0; round < 200; round++) {
      // None is always behind the pause between two rounds.
      for (let turn = 0; turn < wrong.length; turn++) {
        const index = (round + turn) % wrong.length
        times[index]!.push(await timeMs(wrong[index]!))
      }
    }
    const fastest = times.map((each) => each.sort((a, b) => a - b).slice(0, 20))
    const means = fastest.map((each) => each.reduce((sum, ms) => sum + ms, 0) / each.length)
    return Math.max(...means) / Math.min(...means)
  }
  // A difference of the keys would be there each time; one of the machine is not.
  const ratios: number[] = []
  do ratios.push(await ratio())
  while (ratios.at(-1)! > 1.05 && ratios.length < 5)
  assert.ok(ratios.at(-1)! <= 1.05, ratios.join(', '))
})
