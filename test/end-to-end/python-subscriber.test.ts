// The subscriber in Python of examples/python-subscriber, as a person would run it: a client of the C core.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { projectRoot } from '../support/server-process.ts'

const mebibyte = 1024 * 1024
const packages = 'python3-grpcio python3-protobuf protobuf-compiler libprotobuf-dev'
const python = ['/usr/bin/python3', 'python3'].find(
  (program) => spawnSync(program, ['-c', 'import grpc, google.protobuf']).status === 0,
)
const isHere = python !== undefined && spawnSync('protoc', ['--version']).status === 0
const skip = isHere ? false : `no Python with grpc, or no protoc: on Debian, run apt-get install ${packages}`

/** Bytes of buffers in this process, the server's among them, without garbage. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().arrayBuffers
}

test('a subscriber in Python whose output is not read misses events, which are counted exactly, and the server stays small', {
  skip,
}, async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_SUBSCRIBER_MAX_BYTES: String(4 * mebibyte) } })
  const client = clientOf(t, server)
  const program = join(projectRoot, 'examples/python-subscriber/subscriber.py')
  const subscriber = spawn(python!, [program, server.grpc])
  cleanup(t, () => void subscriber.kill('SIGKILL'))
  let said = ''
  subscriber.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await eventually(() => assert.match(said, /^connected$/m))

  // Its output has no reader, so it waits, and reads no more messages.
  const [count, batch] = [samples(40_000, 200_000), 1000]
  const data = { pad: 'x'.repeat(1000) }
  const before = heldBytes()
  for (let first = 0; first < count; first += batch) {
    const orders = Array.from({ length: batch }, (_, index) => ({
      id: `o-${first + index}`,
      type: 'order.placed',
      data,
    }))
    await client.publishEvents(orders)
  }
  // Its buffer of 4 MiB, and what other parts hold of the newest events.
  const grown = heldBytes() - before
  assert.ok(grown < 30 * mebibyte, `the server holds ${Math.round(grown / mebibyte)} MiB`)

  const ids: string[] = []
  let text = ''
  subscriber.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n')
    text = lines.pop()!
    for (const line of lines) ids.push((JSON.parse(line) as { id: string }).id)
  })
  await eventually(
    () => {
      const missed = [...said.matchAll(/^missed (\d+) events/gm)].reduce((sum, [, number]) => sum + Number(number), 0)
      assert.ok(missed > 0, said)
      assert.equal(ids.length + missed, count)
    },
    { withinMs: 30_000 },
  )
  await sleep(100)
  assert.equal(new Set(ids).size, ids.length)
  assert.equal(ids.at(-1), `o-${count - 1}`)
})
