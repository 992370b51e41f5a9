import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { Access, type AccessControl } from '../access.ts'
import { eventually } from '../eventually.test-support.ts'
import { InflateBudget } from '../inflate-budget.ts'
import { MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { openPost, post, startTestServer } from './http-client.test-support.ts'

const br = (bytes: Uint8Array | string) =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
const compress = { gzip: gzipSync, deflate: deflateSync, br, zstd: zstdCompressSync }
type Encoding = keyof typeof compress

const ndjson = 'application/x-ndjson'
const json = 'application/json'

/** Many lines that compress to about a third. */
function manyLines(count: number): Buffer {
  const line = (n: number) => `{"type":"reading","id":"${n}","data":"${randomBytes(60).toString('hex')}"}\n`
  return Buffer.from(Array.from({ length: count }, (_, n) => line(n)).join(''))
}

for (const encoding of Object.keys(compress) as Encoding[]) {
  const sendAs = (type: string) => (url: string, body: Uint8Array) =>
    post(url, body, '', { 'content-type': type, 'content-encoding': encoding })
  const sendLines = sendAs(ndjson)
  const sendJson = sendAs(json)
  const squeeze = compress[encoding]

  test(`${encoding}: JSON, NDJSON and CloudEvents are inflated while they are read`, async (t) => {
    const { url, pipeline } = await startTestServer(t)
    const event = '{"specversion":"1.0","id":"1","source":"/s","type":"ce","data":{"x":1}}'

    const lines = await sendLines(url, squeeze(manyLines(5_000)))
    const one = await sendJson(url, squeeze('{"type":"plain"}'))
    const cloud = await sendAs('application/cloudevents+json')(url, squeeze(event))

    assert.deepEqual([lines.status, lines.json.accepted], [202, 5_000])
    assert.deepEqual([one.json.accepted, cloud.json.accepted], [1, 1])
    assert.deepEqual(pipeline.events.at(-2)?.type, 'plain')
    assert.equal(Buffer.from(pipeline.events.at(-1)!.data).toString(), '{"x":1}')
  })

  test(`${encoding}: lines are published before the rest of the body has come`, async (t) => {
    const { port, pipeline } = await startTestServer(t)
    const { request, answer } = openPost(port, { 'content-type': ndjson, 'content-encoding': encoding })
    const body = squeeze(manyLines(5_000))

    request.write(body.subarray(0, body.length / 2))
    await eventually(() => pipeline.events.length > 0)
    request.end(body.subarray(body.length / 2))

    assert.equal((await answer).json.accepted, 5_000)
  })

  test(`${encoding}: what is damaged, truncated or followed by other bytes is refused by name`, async (t) => {
    const { url, pipeline } = await startTestServer(t)
    const body = squeeze('{"type":"a"}')
    const twice = Buffer.concat([body, squeeze('{"type":"b"}'), Buffer.from('rest')])
    const wrong: [string, Uint8Array, RegExp][] = [
      ['damaged', Buffer.from('{"type":"plain"}'), /not \w+, as content-encoding says: it is (damaged|truncated)/],
      ['truncated', body.subarray(0, -2), /it is truncated/],
      ['empty', Buffer.alloc(0), /it is truncated/],
      ['followed', Buffer.concat([body, Buffer.from('\0\0\0')]), /it is (followed by other bytes|damaged)/],
      ['followed', twice, /it is (followed by other bytes|damaged)/],
    ]
    for (const [name, bytes, problem] of wrong) {
      const answer = await sendJson(url, bytes)
      assert.equal(answer.status, 400, name)
      assert.equal(answer.json.field, 'content-encoding', name)
      assert.match(answer.json.detail, problem, name)
    }
    assert.equal(pipeline.events.length, 0)
  })

  test(`${encoding}: a bomb of 64 MiB costs 413, and is not inflated`, async (t) => {
    // A body that is held inflated beyond this gets 429.
    const { url } = await startTestServer(t, { inflateBudget: new InflateBudget(20 * 1024 * 1024) })
    const bomb = squeeze(Buffer.alloc(64 * 1024 * 1024, ' '))
    assert.ok(bomb.length <= 66 * 1024, `${bomb.length} bytes`)

    const lines = await sendLines(url, bomb)
    const array = await sendJson(url, bomb)

    assert.deepEqual([lines.status, lines.json.code], [413, 'message_too_large'])
    assert.match(lines.json.detail, /inflates to more than 1048576 bytes and 100 times its size/)
    assert.deepEqual([array.status, array.json.code], [413, 'message_too_large'])
  })
}

test('an unknown encoding is 415 and names those that are taken; several are none', async (t) => {
  const { url } = await startTestServer(t)
  for (const encoding of ['compress', 'gzip, gzip', '']) {
    const answer = await post(url, '{"type":"a"}', '', { 'content-encoding': encoding })
    assert.deepEqual([answer.status, answer.json.code], [415, 'unsupported_media_type'], encoding)
    assert.equal(answer.headers.get('accept-encoding'), 'gzip, deflate, br, zstd')
  }
})

test('a compressed body that the process has no memory for is told to come again, and all is given back', async (t) => {
  const inflateBudget = new InflateBudget(10 * 1024 * 1024)
  const { url, port } = await startTestServer(t, { inflateBudget })
  const lines = manyLines(200)
  const first = openPost(port, { 'content-type': ndjson, 'content-encoding': 'zstd' })
  first.request.write(zstdCompressSync(lines).subarray(0, 3000))
  await eventually(() => inflateBudget.bytes > 0)

  const second = await post(url, zstdCompressSync(lines), '', { 'content-type': ndjson, 'content-encoding': 'zstd' })

  assert.deepEqual([second.status, second.json.code], [429, 'backlogged'])
  assert.ok(Number(second.headers.get('retry-after')) > 0)
  first.request.destroy()
  await assert.rejects(first.answer)
  await eventually(() => inflateBudget.bytes === 0)
})

test('the budget counts the bodies that are kept until their answer', async (t) => {
  const inflateBudget = new InflateBudget(1024 * 1024)
  const { url } = await startTestServer(t, { inflateBudget })
  const body = gzipSync(`[${JSON.stringify({ type: 'a', data: randomBytes(512 * 1024).toString('hex') })}]`)

  const answer = await post(url, body, '', { 'content-encoding': 'gzip' })

  assert.deepEqual([answer.status, answer.json.code], [429, 'backlogged'])
  await eventually(() => inflateBudget.bytes === 0)
})

test('a client that is gone before its body is read takes nothing of the budget', async (t) => {
  const inflateBudget = new InflateBudget()
  const pipeline = new MemoryPipeline()
  const open = new Access(pipeline, false)
  const [asked, checked, done] = [0, 1, 2].map(() => Promise.withResolvers<void>())
  const access: AccessControl = {
    needsKeys: false,
    authorize: async () => {
      asked!.resolve()
      await checked!.promise
      setImmediate(done!.resolve)
      return open.authorize(undefined, 'open')
    },
    authorizeTicket: (ticket, need) => open.authorizeTicket(ticket, need),
    authorizeSession: (session, need) => open.authorizeSession(session, need),
    confirm: () => open.confirm(),
    grantOf: (caller) => open.grantOf(caller),
    onEnded: (...call) => open.onEnded(...call),
  }
  const { port, metrics } = await startTestServer(t, { inflateBudget, access, pipeline })
  const { request, answer } = openPost(port, { 'content-type': ndjson, 'content-encoding': 'br' })
  request.write(br('{"type":"a"}'))
  await asked!.promise

  request.socket!.resetAndDestroy()
  await assert.rejects(answer)
  const noConnection = /_open_connections\{transport="http"\} 0/
  while (!noConnection.test(String((await metrics.render(undefined)).body))) await setTimeout(5)
  checked!.resolve()
  await done!.promise

  assert.equal(inflateBudget.bytes, 0)
})
