// The examples, each as its one command.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { listEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { inherited, projectRoot, testedNodeArguments } from '../support/server-process.ts'

async function run(example: string, ...words: string[]): Promise<string> {
  const file = join(projectRoot, 'examples', example)
  const { stdout } = await promisify(execFile)(process.execPath, [...testedNodeArguments, file, ...words], {
    env: inherited(),
    timeout: 60_000,
  })
  return stdout
}

const numberIn = (text: string, pattern: RegExp) => Number(pattern.exec(text)?.[1])

test('client-streaming: every item is accepted or dropped, and the fast worker gets the larger share', async () => {
  const items = samples(4000, 20_000)
  const output = await run('client-streaming.ts', String(items))
  const sums = new RegExp(`^received ${items} = accepted (\\d+) \\+ dropped (\\d+) \\+ rejected 0$`, 'm').exec(output)
  assert.ok(sums, output)
  const [accepted, dropped] = [Number(sums[1]), Number(sums[2])]
  assert.equal(accepted + dropped, items)
  assert.ok(accepted >= 300 && dropped > items / 2, output)
  assert.match(
    output,
    new RegExp(`^the ledger has ${accepted} accepted, ${accepted} done; the metric has ${dropped} dropped$`, 'm'),
  )
  const [fast, slow] = ['fast', 'slow'].map((name) =>
    numberIn(output, new RegExp(`^${name} worker .*: (\\d+) items`, 'm')),
  )
  assert.equal(fast! + slow!, accepted)
  assert.ok(fast! > 2 * slow!, output)
})

test('list-then-follow: what lands and what comes is there once, also after a cut', async (t) => {
  const server = await startInProcess(t)
  const proxy = await startFaultProxy(t, () => server.http)
  const client = clientOf(t, server)
  const publishOne = (type: string) => client.publishEvents([{ type }])
  await publishOne('one')
  await eventually(async () => assert.equal((await listEvents(server.http, '')).events.length, 1))
  const running = run('list-then-follow.ts', proxy.address, '2')
  await eventually(async () => assert.match((await request(server.http, '/v1/subscribers')).text, /"topic"/))
  await publishOne('two')
  await eventually(async () => assert.match((await request(server.http, '/v1/subscribers')).text, /"sent_events":1/))

  proxy.cut()
  await publishOne('three')

  const output = await running
  assert.match(output, /^listed 1 events$/m)
  assert.deepEqual(
    [...output.matchAll(/^got .*"type":"(\w+)"/gm)].map(([, type]) => type),
    ['two', 'three'],
  )
})

test('uneven-workers: each worker gets a share in proportion to its speed', async () => {
  const output = await run('uneven-workers.ts')
  assert.match(output, /^150 items are done in /)
  const [fast, middle, slow] = ['fast', 'middle', 'slow'].map((name) =>
    numberIn(output, new RegExp(`^${name} worker .*: (\\d+) items`, 'm')),
  )
  assert.equal(fast! + middle! + slow!, 150)
  assert.ok(fast! > 1.2 * middle! && middle! > 1.2 * slow! && slow! > 5, output)
})

test('order-per-key: each account is done in its order, and a failing step holds its account only', async () => {
  const output = await run('order-per-key.ts')
  assert.match(output, /^ada: deposit fails in attempt 3; done meanwhile: bea, cyd, dan\n20 steps are done$/m)
  const inOrder = 'open → deposit → transfer → withdraw → close'
  for (const account of ['ada', 'bea', 'cyd', 'dan']) assert.ok(output.includes(`\n${account}: ${inOrder}\n`), output)
  assert.match(output, /^each account in its order$/m)
})

test('priorities: high events overtake a flood of low ones, which moves all the same', async () => {
  const output = await run('priorities.ts')
  assert.ok(numberIn(output, /ahead of (\d+) low ones$/m) > 100, output)
  const moved = numberIn(output, /waiting, (\d+) low ones moved too$/m)
  assert.ok(moved >= 2 && moved <= 20, output)
})

test('noisy-neighbour: a tenant that floods its partition does not delay the event of another', async () => {
  const output = await run('noisy-neighbour.ts', '4000')
  const meanwhile = [...output.matchAll(/^ {2}meanwhile (\d+) events of noisy were done$/gm)]
  const [byTenant, shared] = meanwhile.map(([, events]) => Number(events))
  assert.ok(byTenant! < 200 && shared! > 1000, output)
  assert.equal([...output.matchAll(/^ {2}in the end: noisy 4000, quiet 1$/gm)].length, 2, output)
})

test('fan-in-fan-out: each group gets every event of its types from all producers', async () => {
  const output = await run('fan-in-fan-out.ts')
  assert.match(output, /^billing has handled 30\nshipping has handled 30\naudit has handled 40$/m)
})

test('poison-handler: an event that ends its process becomes a dead letter, and the events beside it are done', async () => {
  const output = await run('poison-handler.ts')
  assert.match(output, /^999 events are done, 1 is dead\ndead letter order.poison: the process ended in each of 3/m)
  assert.match(output, /^the process ended 3 times, .*\nthe poison began 3 times$/m)
})
