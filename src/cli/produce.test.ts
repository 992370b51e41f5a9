import assert from 'node:assert/strict'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { IngestServer } from '../client/ingest-server.test-support.ts'
import { runMillrace, startMillrace, temporaryDirectory } from './run-millrace.test-support.ts'

const closingLine = /^accepted (\d+), dropped (\d+), rejected (\d+) in \d+\.\d\d s \(\d+ events\/s\)\n$/

/** `millrace produce` against this server. */
function produce(t: TestContext, server: IngestServer, ...words: string[]) {
  return runMillrace(['produce', ...words], {
    cwd: temporaryDirectory(t),
    env: { MILLRACE_ADDRESS: server.address },
  })
}

test('produce publishes numbered sample events and prints a one-line summary', async (t) => {
  const server = await IngestServer.start(t)

  const { code, stdout, stderr } = await produce(t, server, '3000', '--type', 'sensor.read', '--topic', 'sensors')

  assert.deepEqual(closingLine.exec(stdout)?.slice(1), ['3000', '0', '0'])
  assert.equal(stderr, '')
  assert.equal(code, 0)
  assert.equal(new Set(server.keptIds).size, 3000)
  const events = server.received.flatMap(({ request }) => request.events)
  assert.deepEqual(
    events.map(({ data }) => JSON.parse(Buffer.from(data).toString()).n),
    Array.from({ length: 3000 }, (_, index) => index + 1),
  )
  assert.ok(events.every(({ type, data }) => type === 'sensor.read' && data.length === 200))
  assert.equal(server.received[0]!.request.topic, 'sensors')
  assert.equal(server.received[0]!.request.overflow, 3)
})

test('produce prints one JSON document with --output json', async (t) => {
  const server = await IngestServer.start(t)

  const { code, stdout } = await produce(t, server, '10', '--payload', '8', '--batch', '3', '--output', 'json')

  const { seconds, events_per_second: eventsPerSecond, ...counts } = JSON.parse(stdout)
  assert.deepEqual(counts, { accepted: 10, dropped: 0, rejected: 0, unknown: 0, unsent: 0 })
  assert.ok(seconds > 0 && eventsPerSecond > 0)
  assert.equal(code, 0)
  assert.deepEqual(
    server.received.map(({ request }) => request.events.length),
    [3, 3, 3, 1],
  )
  assert.equal(Buffer.from(server.received[0]!.request.events[0]!.data).toString(), '{"n":1}')
})

test('produce fails when an event was not accepted, and prints why', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = ({ sequence }) => {
    const rejection = { sequence: BigInt(sequence), code: 'disk_full', message: 'no room on the disk' }
    const rejections = [0n, 1n].map((index) => ({ ...rejection, index }))
    return { kind: 'answer', response: { rejections, dropped: 1n } }
  }

  const { code, stdout, stderr } = await produce(t, server, '5')

  assert.deepEqual(closingLine.exec(stdout)?.slice(1), ['2', '1', '2'])
  assert.match(stderr, /^2 rejected as disk_full, the first: no room on the disk \(id [\da-f-]{36}\)\n$/)
  assert.equal(code, 1)
})

test('produce fails and still prints its summary when the server refuses the call', async (t) => {
  const server = await IngestServer.start(t)
  server.decide = () => ({ kind: 'end', status: { code: status.NOT_FOUND, details: 'there is no topic "nope"' } })

  const { code, stdout, stderr } = await produce(t, server, '5', '--topic', 'nope')

  assert.deepEqual(closingLine.exec(stdout)?.slice(1), ['0', '0', '0'])
  assert.match(stderr, /^millrace: there is no topic "nope"; 5 events are unknown/)
  assert.equal(code, 1)
})

test('produce never exceeds its rate, and reports when it could not reach it', async (t) => {
  const server = await IngestServer.start(t)

  const kept = await produce(t, server, '500', '--rate', '1000', '--output', 'json')
  const missed = await produce(t, server, '50000', '--rate', '1000000000')

  const { seconds } = JSON.parse(kept.stdout)
  assert.ok(seconds >= 0.499, `500 events at 1000/s took only ${seconds} s`)
  assert.equal(kept.code, 0)
  assert.match(missed.stderr, /^the rate was not reached: \d+ events\/s were sent instead of 1000000000\n$/)
  assert.equal(missed.code, 0)
})

test('produce publishes the events of a file and counts a bad line as rejected', async (t) => {
  const server = await IngestServer.start(t)
  const cwd = temporaryDirectory(t)
  writeFileSync(join(cwd, 'good.ndjson'), '{"type":"a","id":"one","data":1}\n{"type":"b","id":"two"}\n')
  writeFileSync(join(cwd, 'bad.ndjson'), '{"type":"a","id":"three"}\nhello\n{"type":"c","id":"four"}\n')
  const env = { MILLRACE_ADDRESS: server.address }

  const good = await runMillrace(['produce', '--file', 'good.ndjson'], { cwd, env })
  const bad = await runMillrace(['produce', '--file', 'bad.ndjson'], { cwd, env })
  const some = await runMillrace(['produce', '1', '--file', 'good.ndjson'], { cwd, env })
  const few = await runMillrace(['produce', '10', '--file', 'bad.ndjson'], { cwd, env })
  const missing = await runMillrace(['produce', '--file', 'missing.ndjson'], { cwd, env })

  assert.deepEqual([closingLine.exec(good.stdout)?.slice(1), good.code], [['2', '0', '0'], 0])
  assert.deepEqual([closingLine.exec(bad.stdout)?.slice(1), bad.code], [['2', '0', '1'], 1])
  assert.match(bad.stderr, /^rejected as invalid_event: line 2: is not a JSON object\n$/)
  assert.deepEqual([closingLine.exec(some.stdout)?.slice(1), some.code], [['1', '0', '0'], 0])
  assert.deepEqual([closingLine.exec(few.stdout)?.slice(1), few.code], [['2', '0', '1'], 1])
  assert.match(few.stderr, /^the file has only 3 events, and 10 were to be published$/m)
  assert.match(missing.stderr, /^millrace: cannot read .*missing\.ndjson: ENOENT/)
  assert.equal(missing.code, 1)
  assert.deepEqual(server.keptIds, ['one', 'two', 'three', 'four', 'one', 'three', 'four'])
})

test('produce follows a server that restarts on another port', async (t) => {
  const [first, second] = [await IngestServer.start(t), await IngestServer.start(t)]
  const cwd = temporaryDirectory(t)
  mkdirSync(join(cwd, 'data'))
  const announce = (server: IngestServer): void => {
    writeFileSync(join(cwd, 'addresses.new'), JSON.stringify({ http: '127.0.0.1:1', grpc: server.address }))
    renameSync(join(cwd, 'addresses.new'), join(cwd, 'data/addresses.json'))
  }
  announce(first)
  const { ended } = startMillrace(t, ['produce', '1000', '--rate', '2000'], { cwd })
  while (first.keptIds.length < 100) await new Promise((resolve) => setImmediate(resolve))
  await first.stop()
  announce(second)

  const { code, stdout, stderr } = await ended

  assert.deepEqual(closingLine.exec(stdout)?.slice(1), ['1000', '0', '0'])
  assert.equal(code, 0)
  assert.match(stderr, /^no connection .*reconnecting for up to 60 s\n/)
  assert.equal(new Set([...first.keptIds, ...second.keptIds]).size, 1000)
  assert.ok(second.keptIds.length > 0)
})

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`produce interrupted by ${signal} still prints its summary`, async (t) => {
    const server = await IngestServer.start(t)
    const cwd = temporaryDirectory(t)
    const env = { MILLRACE_ADDRESS: server.address }
    const { child, ended } = startMillrace(t, ['produce', '100000', '--rate', '1000'], { cwd, env })
    while (server.keptIds.length < 10) await new Promise((resolve) => setImmediate(resolve))

    child.kill(signal)
    const { code, stdout } = await ended

    assert.equal(code, expected)
    assert.equal(Number(closingLine.exec(stdout)?.[1]), server.keptIds.length)
  })
}

test('produce refuses wrong arguments with exit code 2', async (t) => {
  const cwd = temporaryDirectory(t)
  const mistakes = [
    ['produce'],
    ['produce', '0'],
    ['produce', 'many'],
    ['produce', '1', '2'],
    ['produce', '1', '--rate', 'fast'],
    ['produce', '1', '--colour', 'red'],
    ['produce', '--file', 'x', '--type', 'y'],
  ]
  for (const words of mistakes) {
    const { code, stdout, stderr } = await runMillrace(words, { cwd })
    assert.deepEqual([code, stdout], [2, ''], words.join(' '))
    assert.match(stderr, /^(error|millrace): /, words.join(' '))
  }
})
