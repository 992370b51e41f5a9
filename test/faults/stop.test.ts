import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceError } from '@grpc/grpc-js'
import { assertSound, compare } from '../support/checker.ts'
import { samples } from '../support/depth.ts'
import { order, orders } from '../support/events.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { postJson, request } from '../support/http-client.ts'
import { continueInProcess } from '../support/in-process-server.ts'
import { Journal } from '../support/journal.ts'
import { assertTidy } from '../support/leaks.ts'
import { loadHttp, loadProduce, loadUnary } from '../support/load.ts'
import { publish } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { rawConnection } from '../support/raw-http2.ts'
import { defineHandlerModule, projectRoot, startServer } from '../support/server-process.ts'
import { readRows } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

test('fault U1: SIGTERM under load: not ready at once, calls in flight are finished, exit 0, and nothing is lost', async (t) => {
  const journal = new Journal()
  const server = await startServer(t, { env: { MILLRACE_DRAIN_MS: '3000' } })
  const grpc = grpcClient(t, server)
  const stopping = new AbortController()
  const { signal } = stopping
  const loads = Promise.all([
    loadUnary(server, journal, { name: 'unary', signal, batchEvents: 5 }),
    loadProduce(server, journal, { name: 'produce', signal, batchEvents: 25 }),
    loadHttp(server, journal, { name: 'http', signal, batchEvents: 10 }),
  ])
  loads.catch(() => {})
  await eventually(() => assert.ok(journal.accepted > 200))

  // A Produce whose messages are all acknowledged and that stays open idle.
  const produce = grpc.produce()
  const produced = order(1)
  const producedAttempt = journal.attempt('quiet', produced)
  await produce.send({ producerId: 'quiet', sequence: 1, events: [produced] })
  await eventually(() => assert.equal(produce.responses.at(-1)?.ackedThrough, 1n))
  producedAttempt.answer = 'accepted'
  const startedAt = performance.now()
  server.kill('SIGTERM')
  const readiness = (async () => {
    let lastReadyMs = 0
    while (server.running) {
      const answer = await request(server.http, '/readyz').catch(() => null)
      if (answer?.status === 200) lastReadyMs = performance.now() - startedAt
      await sleep(5)
    }
    return lastReadyMs
  })()
  const exit = await within(6000, 'the exit', server.exited)
  const tookMs = performance.now() - startedAt
  assert.deepEqual(exit, { code: 0, signal: null })
  assert.ok(tookMs < 3000 + 1000, `stopping took ${tookMs} ms`)
  const lastReadyMs = await readiness
  assert.ok(lastReadyMs <= 100, `the server was ready ${lastReadyMs} ms after SIGTERM`)
  t.diagnostic(`stopped after ${Math.round(tookMs)} ms, last ready after ${Math.round(lastReadyMs)} ms`)
  assertTidy(server.dataDir)

  const next = await continueInProcess(t, server)
  stopping.abort()
  await loads
  const ledger = await drained(next)
  assertSound(t, compare({ journal, rows: readRows(server.dataDir), ledger }))
})

test('fault U1: every call that has sent its events when SIGTERM comes is answered, however long its COMMIT takes', async (t) => {
  const server = await startServer(t, {
    env: { MILLRACE_DRAIN_MS: '15000' },
    nodeArguments: ['--import', join(projectRoot, 'test/support/stuck-commit.ts')],
  })
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: [order(0)] })
  await drained(server)
  const stuck = join(server.dataDir, 'commits-are-stuck')
  writeFileSync(stuck, '')
  const unary = grpc.publish({ events: orders(3) })
  const stream = grpc.publishStream()
  await stream.send({ events: orders(3) })
  stream.call.end()
  const produce = grpc.produce()
  await produce.send({ producerId: 'p', sequence: 1, events: orders(3) })
  const posted = postJson(server.http, [{ type: 'posted' }])
  await sleep(500)
  server.kill('SIGTERM')
  // Only the COMMIT in flight is slow.
  rmSync(stuck)
  assert.equal((await unary).accepted, 3n)
  assert.equal((await stream.summary).accepted, 3n)
  assert.equal((await posted).body.accepted, 1)
  await within(5000, 'end of Produce', produce.ended)
  assert.equal(produce.responses.at(-1)?.ackedThrough, 1n)
  assert.deepEqual(await within(15_000, 'the exit', server.exited), { code: 0, signal: null })
  const next = await continueInProcess(t, server)
  const [line] = await drained(next)
  assert.deepEqual([line?.accepted, line?.landed, line?.balanced], [11, 11, true])
})

test('fault U1: an idle server stops quickly, also with clients that hold connections open', async (t) => {
  const server = await startServer(t)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: [order(1)] })
  await request(server.http, '/livez')
  const silent = [await rawConnection(t, server.http), await rawConnection(t, server.grpc)]
  const startedAt = performance.now()
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  assert.ok(performance.now() - startedAt < 2000, `stopping took ${performance.now() - startedAt} ms`)
  await Promise.all(silent.map((connection) => within(1000, 'the close', connection.closed)))
})

test('fault U1: a call that never ends is cut at the drain deadline', async (t) => {
  const server = await startServer(t, { env: { MILLRACE_DRAIN_MS: '700' } })
  const grpc = grpcClient(t, server)
  const stream = grpc.publishStream()
  await stream.send({ events: [order(1)] })
  const produce = grpc.produce()
  await produce.send({ producerId: 'p', sequence: 1, events: [order(2)] })
  await eventually(() => assert.equal(produce.responses.length, 1))
  const startedAt = performance.now()
  assert.equal((await server.stop()).code, 0)
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < 700 + 1000, `stopping took ${tookMs} ms`)
  const failure = await stream.summary.then(
    () => null,
    (error: ServiceError) => error,
  )
  assert.ok(failure === null || failure.code === 14, `the outcome must be unknown: ${failure}`)
})

test('a second SIGTERM ends the server at once, even while its disk is stuck, and loses nothing accepted', async (t) => {
  const server = await startServer(t, {
    env: { MILLRACE_DRAIN_MS: '20000' },
    nodeArguments: ['--import', join(projectRoot, 'test/support/stuck-commit.ts')],
  })
  await publish(server, 'events', orders(100))
  await drained(server)
  const stuck = join(server.dataDir, 'commits-are-stuck')
  writeFileSync(stuck, '')
  const call = grpcClient(t, server).publish({ events: [order(1)] })
  call.catch(() => {})
  await sleep(200)
  server.kill('SIGTERM')
  // A second signal counts only 1 s after the server received the first. Once it has, it answers 503 or refuses
  // connections.
  await eventually(async () => assert.notEqual((await request(server.http, '/readyz').catch(() => null))?.status, 200))
  await sleep(1100)
  assert.ok(server.running, 'the call that waits for the disk does not delay the drain')
  const startedAt = performance.now()
  server.kill('SIGTERM')
  const exit = await within(5000, 'the exit', server.exited)
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < 1000, `stopping took ${tookMs} ms`)
  assert.ok(exit.code === 143 || exit.signal === 'SIGTERM', JSON.stringify(exit))
  rmSync(stuck)
  const next = await continueInProcess(t, server)
  const [line] = await drained(next)
  assert.ok(Number(line?.landed) >= 100)
})

test('fault U1: an isolated handler in a native call that never returns does not delay the exit', async (t) => {
  const directory = tempDirectory(t)
  const [fifo, module] = [join(directory, 'fifo'), join(directory, 'handler.ts')]
  execFileSync('mkfifo', [fifo])
  // To open a FIFO waits for a writer.
  writeFileSync(
    module,
    `import { existsSync, readFileSync } from 'node:fs'
    import { defineHandler } from '${defineHandlerModule}'
    export default defineHandler({
      group: 'reader',
      isolate: true,
      handle({ id }, { logger, attempt }) {
        logger.info(id + ' begins ' + attempt)
        if (existsSync('${fifo}')) readFileSync('${fifo}')
      },
    })`,
  )
  const server = await startServer(t, { env: { MILLRACE_HANDLERS: module, MILLRACE_DRAIN_MS: '1000' } })
  await publish(server, 'events', [order(1, { id: 'a' })])
  const begun = () => server.logLines().flatMap(({ message }) => (/ begins /.test(String(message)) ? [message] : []))
  await eventually(() => assert.deepEqual(begun(), ['a begins 1']))
  const startedAt = performance.now()
  const exit = await server.stop()
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < 3000, `stopping took ${tookMs} ms`)
  assert.deepEqual(exit, { code: null, signal: 'SIGKILL' })
  assertTidy(server.dataDir)

  rmSync(fifo)
  await server.start()
  // The log was closed in order: the stop has cost the event no attempt.
  await eventually(() => assert.deepEqual(begun(), ['a begins 1', 'a begins 1']))
})

test('fault U5: SIGTERM at any moment of the start ends the process cleanly, and the next start works', async (t) => {
  const random = seededRandom(t)
  const server = await startServer(t)
  await publish(server, 'events', orders(50))
  await server.crash()
  for (let round = 0; round < samples(3, 20); round++) {
    server.launch()
    await sleep(random.between(0, 700))
    server.kill('SIGTERM')
    const exit = await within(8000, 'the end', server.exited)
    // Until the program installs its handlers, the signal's default action ends it.
    assert.ok(
      exit.code === 0 || exit.code === 143 || exit.signal === 'SIGTERM',
      `${JSON.stringify(exit)} ${server.stderr}`,
    )
  }
  const next = await continueInProcess(t, server)
  const [line] = await drained(next)
  assert.deepEqual([line?.landed, line?.balanced], [50, true])
})
