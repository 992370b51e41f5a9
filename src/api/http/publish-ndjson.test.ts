import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MillraceError } from '../../errors.ts'
import { eventually, settled } from '../eventually.test-support.ts'
import { openPost, post as postBody, speak, startTestServer } from './http-client.test-support.ts'
import { LineSplitter } from './line-splitter.ts'

const post = (url: string, body: string | Uint8Array, query = '') =>
  postBody(url, body, query, { 'content-type': 'application/x-ndjson' })

/** A request whose body is written in chunks. */
const openRequest = (port: number, query = '') => openPost(port, { 'content-type': 'application/x-ndjson' }, query)

test('every line is an event; empty lines are skipped, and the last line end is optional', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const answer = await post(url, '{"type":"a"}\r\n\n{"type":"b","data":{"x":[1]}}\n  \n{"type":"c"}')

  assert.equal(answer.status, 202)
  assert.deepEqual(answer.json, { accepted: 3, dropped: 0, rejected: 0, rejections: [], durability: 'disk' })
  assert.deepEqual(
    pipeline.events.map(({ type }) => type),
    ['a', 'b', 'c'],
  )
})

test('an invalid line is rejected by its number, counted from 0, and its neighbours are accepted', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const lines = [
    '{"type":"a"}',
    '',
    '{"type":"a","x":1}',
    '{"type":"a"} {"type":"b"}',
    '[{"type":"a"}]',
    'type=a',
    '{"type":"a","data":tru}',
    '{"type":""}',
    '\ufeff{"type":"a"}',
    '{"type":"z"}',
  ]

  const answer = await post(url, `${lines.join('\n')}\n`)

  assert.equal(answer.status, 202)
  assert.deepEqual([answer.json.accepted, answer.json.rejected], [2, 7])
  const messages = Object.fromEntries(answer.json.rejections.map(({ index, message }) => [index, message]))
  assert.deepEqual(Object.keys(messages), ['2', '3', '4', '5', '6', '7', '8'])
  assert.match(messages[2] ?? '', /^key "x" is unknown/)
  assert.match(messages[3] ?? '', /^line 3 is not one JSON object \(at byte 13\)/)
  assert.match(messages[4] ?? '', /^line 4 must be one JSON object/)
  assert.match(messages[5] ?? '', /^line 5 must be one JSON object/)
  assert.match(messages[6] ?? '', /^line 6 is not one JSON object/)
  assert.match(messages[7] ?? '', /^type is empty/)
  assert.match(messages[8] ?? '', /^line 8 begins with a byte order mark: leave it out/)
  assert.deepEqual(
    pipeline.events.map(({ type }) => type),
    ['a', 'z'],
  )
})

test('a body in UTF-16 is refused with the byte order mark that it begins with', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const littleEndian = Buffer.from('\ufeff{"type":"a"}\n', 'utf16le')

  for (const body of [littleEndian, Buffer.from(littleEndian).swap16()]) {
    const { status, json } = await post(url, body)
    assert.equal(status, 400)
    assert.match(json.rejections[0]?.message ?? '', /^line 0 begins with a byte order mark: .* use UTF-8$/)
    const whole = await postBody(url, body, '', { 'content-type': 'application/json' })
    assert.match(whole.json.detail, /^the body begins with a byte order mark: .* use UTF-8$/)
  }
  assert.equal(pipeline.events.length, 0)
})

test('a truncated last line is rejected by its number; the lines before it are accepted', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const answer = await post(url, '{"type":"a"}\n{"type":"b","da')

  assert.equal(answer.status, 202)
  assert.deepEqual([answer.json.accepted, answer.json.rejected], [1, 1])
  assert.equal(answer.json.rejections[0]!.index, 1)
  assert.match(answer.json.rejections[0]!.message, /^line 1 .*the body was cut off/)
  assert.equal(pipeline.events.length, 1)
  const only = await post(url, '{"type":"b","da')
  assert.deepEqual([only.status, only.json.code], [400, 'invalid_event'])
})

test('a line over 2 MiB is rejected by its number and the lines after it are read', async (t) => {
  const { url, pipeline } = await startTestServer(t)

  const answer = await post(url, `{"type":"a"}\n{"type":"b","data":"${'x'.repeat(5 * 1024 * 1024)}"}\n{"type":"c"}\n`)

  assert.deepEqual([answer.json.accepted, answer.json.rejected], [2, 1])
  const [rejection] = answer.json.rejections
  assert.deepEqual([rejection?.index, rejection?.code], [1, 'event_too_large'])
  assert.match(rejection?.message ?? '', /^line 1 is longer than 2097152 bytes/)
  assert.deepEqual(
    pipeline.events.map(({ type }) => type),
    ['a', 'c'],
  )
})

test('a body far over 4 MiB is published in messages of limited size', async (t) => {
  const { url, pipeline } = await startTestServer(t)
  const line = `${JSON.stringify({ type: 'reading', data: 'x'.repeat(500) })}\n`
  const count = 20_000

  const answer = await post(url, line.repeat(count))

  assert.deepEqual([answer.status, answer.json.accepted], [202, count])
  assert.equal(pipeline.events.length, count)
  const largest = Math.max(...pipeline.calls.map(({ message }) => message.message.length))
  assert.ok(largest < 300 * 1024, `a message of ${largest} bytes`)
  assert.ok(pipeline.calls.length < count / 50, `${pipeline.calls.length} messages`)
})

test('lines are published while the body is still being sent', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  const { request, answer } = openRequest(port)

  request.write('{"type":"a"}\n{"ty')
  await eventually(() => pipeline.events.length === 1)
  request.write('pe":"b"}\n')
  await eventually(() => pipeline.events.length === 2)
  request.end('{"type":"c"}')

  assert.equal((await answer).json.accepted, 3)
})

test('while messages are unanswered the body is not read, so the client is slowed', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  pipeline.makeRoom(0)
  const { request, answer } = openRequest(port, '?overflow=wait')
  const piece = `${JSON.stringify({ type: 'reading', data: 'x'.repeat(500) })}\n`.repeat(200)
  let taken = 0
  const write = () => {
    request.write(piece, (error) => {
      if (error) return
      taken += piece.length
      if (taken < 100e6) write()
    })
  }

  write()
  await eventually(() => pipeline.calls.length > 0)
  const atStall = await settled(() => taken)

  assert.ok(atStall < 20e6, `${atStall} bytes were taken`)
  assert.ok(pipeline.calls.length <= 8, `${pipeline.calls.length} messages were read`)
  pipeline.makeRoom(Number.POSITIVE_INFINITY)
  const seen = pipeline.calls.length
  await eventually(() => pipeline.calls.length > seen + 20)
  answer.catch(() => {})
  request.destroy()
})

test('1,000 rejections are listed and all are counted', async (t) => {
  const { url } = await startTestServer(t)

  const answer = await post(url, `{"type":"a"}\n${'{"type":""}\n'.repeat(5000)}`)

  assert.deepEqual([answer.json.accepted, answer.json.rejected, answer.json.rejections.length], [1, 5000, 1000])
  assert.equal(answer.json.rejections[0]!.index, 1)
})

test('when the log fails in the middle, the answer has the error and the events accepted before', async (t) => {
  const { port, pipeline } = await startTestServer(t)
  const { request, answer } = openRequest(port)

  request.write('{"type":"a"}\n')
  await eventually(() => pipeline.events.length === 1)
  pipeline.failure = new MillraceError('unavailable', 'the log is unreachable')
  request.write('{"type":"b"}\n')
  const startedAt = performance.now()
  const { status, json } = await answer

  assert.equal(status, 503)
  assert.ok(performance.now() - startedAt < 5000, 'the answer waited for more of the body')
  assert.deepEqual([json.code, json.accepted], ['unavailable', 1])
  request.destroy()
})

test('an unknown topic is 404, also for a body without lines', async (t) => {
  const { url } = await startTestServer(t)

  assert.equal((await post(url, '{"type":"a"}\n', '?topic=nowhere')).status, 404)
  assert.equal((await post(url, '', '?topic=nowhere')).status, 404)
  assert.deepEqual((await post(url, '')).json.accepted, 0)
})

test('a body that stalls is answered with 408 and its connection is closed', async (t) => {
  const { port, pipeline } = await startTestServer(t, { times: { maxIdleMs: 200, maxLingerMs: 100 } })

  const received = await speak(
    port,
    'POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 1000\r\n\r\n{"type":"a"}\n',
  )

  assert.match(received, /^HTTP\/1\.1 408 /)
  assert.match(received, /"accepted":1/)
  assert.equal(pipeline.events.length, 1)
})

test('the lines do not depend on how the bytes are chunked', () => {
  const text = fc.array(fc.stringMatching(/^[ab\n]{0,12}$/), { maxLength: 12 })
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 9 }), (pieces, maxLineBytes) => {
      const seen: (string | null)[] = []
      const splitter = new LineSplitter(maxLineBytes)
      const keep = (line: Buffer | null) => seen.push(line === null ? null : line.toString())
      for (const piece of pieces) splitter.push(Buffer.from(piece), keep)
      keep(splitter.finish())
      const expected = pieces
        .join('')
        .split('\n')
        .map((line) => (line.length > maxLineBytes ? null : line))
      assert.deepEqual(seen, expected)
    }),
  )
})
