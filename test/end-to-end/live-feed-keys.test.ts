// The live feed with keys: what each one sees of it, whose the ids of subscribers are, and what ends with a key.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect, type LiveItem, type SubscribeOptions } from '../../src/index.ts'
import { type KeyRequest, scopes } from '../../src/pipeline/keys.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { type ServerSentEvent, serverSentEvents } from '../support/server-sent-events.ts'

const path = '/v1/events/live'

async function openTest(t: TestContext) {
  const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' }, topics: ['orders', 'other'] })
  const clientWith = (key: string) => {
    const client = connect({ addresses: [server.grpc], key })
    cleanup(t, () => client.close())
    return client
  }
  const admin = clientWith(readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim())
  const keyOf = async (name: string, limits: Partial<KeyRequest> = {}) => {
    const { key, description } = await admin.keys.create({ name, scopes, ...limits })
    const headers = { authorization: `Bearer ${key}` }
    return { key, keyId: description.keyId, client: clientWith(key), headers }
  }
  const listed = async (headers: Record<string, string>) => {
    const { text } = await request(server.http, '/v1/subscribers', { headers })
    return (JSON.parse(text).subscribers as { subscriber_id: string }[]).map((each) => each.subscriber_id)
  }
  return { server, admin, keyOf, listed }
}

/** What a subscription of the client gets; its end is the error that ends it. */
function follow(t: TestContext, client: ReturnType<typeof connect>, options: SubscribeOptions) {
  const stop = new AbortController()
  const items: LiveItem[] = []
  const run = async () => {
    for await (const item of client.subscribe({ ...options, signal: stop.signal })) items.push(item)
  }
  const ended = run().then(
    () => null,
    (error: unknown) => error as { readonly code: string },
  )
  cleanup(t, async () => {
    stop.abort()
    await ended
  })
  const types = () => items.flatMap((item) => (item.is === 'event' ? [item.event.type] : []))
  const hasCome = (is: LiveItem['is']) =>
    eventually(async () =>
      assert.ok(
        items.some((item) => item.is === is),
        `no ${is} yet`,
      ),
    )
  return { items, ended, types, hasCome }
}

test('a key for some topics and types follows only these, from the log and live', async (t) => {
  const { server, admin, keyOf, listed } = await openTest(t)
  const publish = (...types: string[]) =>
    admin.publishEvents(
      types.map((type) => ({ type })),
      { topic: 'orders' },
    )
  const { client, headers } = await keyOf('shop', { topics: ['orders'], types: ['order.*', 'refund'] })
  const ofTopic = await keyOf('orders', { topics: ['orders'] })
  await publish('order.placed', 'secret')

  const all = follow(t, client, { topic: 'orders', from: 'earliest' })
  const some = follow(t, client, { topic: 'orders', from: 'earliest', types: ['order.**'], subscriberId: 'some' })
  const wide = follow(t, admin, { topic: 'other', subscriberId: 'wide' })
  for (const each of [all, some, wide]) await each.hasCome('caught_up')
  await publish('secret', 'refund', 'order.paid', 'order.paid.twice')
  await eventually(async () => {
    assert.deepEqual(all.types(), ['order.placed', 'refund', 'order.paid'])
    assert.deepEqual(some.types(), ['order.placed', 'order.paid'])
  })

  const refusal = async (query: string) => {
    const { status, text } = await request(server.http, `${path}?live=long-poll&wait=0&${query}`, { headers })
    return [status, JSON.parse(text).detail.replace(/"\w+"/, '"…"')]
  }
  assert.deepEqual(await refusal('topic=other'), await refusal('topic=unknown'))
  assert.equal((await refusal('topic=other'))[0], 404)
  assert.equal((await refusal('topic=orders&type=secret'))[0], 403)
  assert.equal((await refusal('topic=orders&type=a*b'))[0], 400)
  const cursorOf = async (topic: string) => {
    const { text } = await request(server.http, `/v1/events?topic=${topic}`, { headers })
    return JSON.parse(text).live_cursor
  }
  assert.equal(await cursorOf('other'), null)
  assert.equal(typeof (await cursorOf('orders')), 'string')
  assert.deepEqual(await listed(headers), [])
  assert.ok((await listed(ofTopic.headers)).includes('some'))
  assert.ok(!(await listed(ofTopic.headers)).includes('wide'))
})

test('the id of a subscriber belongs to its key: another key does not end its subscription', async (t) => {
  const { keyOf, listed } = await openTest(t)
  const [shop, other] = [await keyOf('shop'), await keyOf('other')]
  const options = { topic: 'orders', subscriberId: 'board' }
  const first = follow(t, shop.client, options)
  await first.hasCome('caught_up')

  const ofOther = follow(t, other.client, options)
  await ofOther.hasCome('caught_up')

  assert.deepEqual(await listed(shop.headers), ['board', 'board'])
  const second = follow(t, shop.client, options)
  assert.equal((await first.ended)?.code, 'failed_precondition')
  await second.hasCome('caught_up')
  assert.deepEqual(await listed(shop.headers), ['board', 'board'])
  assert.equal(await Promise.race([ofOther.ended, 'open']), 'open')
})

test('the live streams of a key end with it and say why, those of its tickets too', async (t) => {
  const { server, admin, keyOf, listed } = await openTest(t)
  const { client, key, keyId, headers } = await keyOf('ended')
  const stays = await keyOf('stays')
  const going = follow(t, stays.client, { topic: 'orders' })
  const grpc = follow(t, client, { topic: 'orders' })
  const made = await request(server.http, '/v1/tickets', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: '{"scopes":["subscribe"],"topics":["orders"]}',
  })
  const { ticket } = JSON.parse(made.text)
  const last = async (url: string, init: RequestInit) => {
    let event: ServerSentEvent | null = null
    for await (event of serverSentEvents(`http://${server.http}${url}`, init));
    return event
  }
  const streams = [
    last(`${path}?topic=orders`, { headers }),
    last(`${path}?topic=orders&ticket=${ticket}`, {}),
    last(`${path}?topic=orders`, { headers: { authorization: `Bearer ${ticket}` } }),
  ]
  const poll = request(server.http, `${path}?topic=orders&live=long-poll&wait=30`, { headers })
  const outside = await request(server.http, `${path}?topic=other&ticket=${ticket}`)
  assert.equal(outside.status, 404)
  await eventually(async () => assert.equal((await listed(stays.headers)).length, 6))

  await admin.keys.revoke(keyId)
  const ended = Promise.all([grpc.ended, Promise.all(streams), poll])
  const [error, events, polled] = await within(5000, 'the end of the streams', ended)

  assert.equal(error?.code, 'unauthenticated')
  for (const event of events) {
    assert.equal(event?.event, 'problem')
    assert.equal(JSON.parse(event.data).status, 401)
  }
  assert.equal(polled.status, 401)
  assert.match(polled.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
  assert.equal((await request(server.http, `${path}?ticket=${ticket}`)).status, 401)
  assert.ok(!server.stderr.includes(ticket) && !server.stderr.includes(key.slice(-38)))
  assert.equal(await Promise.race([going.ended, 'open']), 'open')
  assert.equal((await listed(stays.headers)).length, 1)
})
