import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '../../errors.ts'
import { eventually } from '../eventually.test-support.ts'
import { exampleStatus, type MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { startTestServer } from './http-client.test-support.ts'
import { defaultTimes } from './http-times.ts'

const times = { ...defaultTimes, statusEveryMs: 20 }

async function watch(url: string): Promise<IncomingMessage & { text: string }> {
  const [response] = await once(get(`${url}/v1/status/live`), 'response')
  response.setEncoding('utf8')
  response.text = ''
  response.on('data', (part: string) => {
    response.text += part
  })
  response.on('error', () => {})
  return response
}

function countReads(pipeline: MemoryPipeline): () => number {
  const observe = pipeline.observe.bind(pipeline)
  let reads = 0
  pipeline.observe = () => {
    reads++
    return observe()
  }
  return () => reads
}

/** Until nothing is read for ten intervals. */
async function untilStill(reads: () => number): Promise<void> {
  for (let last = -1; reads() !== last; ) {
    last = reads()
    await sleep(10 * times.statusEveryMs)
  }
}

const eventsIn = (text: string, name: string): unknown[] =>
  text
    .split('\n\n')
    .filter((block) => block.startsWith(`event: ${name}\n`))
    .map((block) => JSON.parse(block.slice(block.indexOf('\ndata: ') + 7)))

test('each watcher gets the status at once and at each interval, all from one reading, which ends with the last of them', async (t) => {
  const { url, pipeline } = await startTestServer(t, { times })
  const reads = countReads(pipeline)

  const watchers = await Promise.all(Array.from({ length: 20 }, () => watch(url)))
  await eventually(() => watchers.every(({ text }) => eventsIn(text, 'status').length >= 3))
  // Each has its own first reading at most; afterwards 20 watchers cost as much as one.
  const before = reads()
  const seenBefore = eventsIn(watchers[0]!.text, 'status').length
  await eventually(() => eventsIn(watchers[0]!.text, 'status').length >= seenBefore + 5)
  assert.ok(reads() - before <= eventsIn(watchers[0]!.text, 'status').length - seenBefore + 1, `${reads() - before}`)

  const [first] = eventsIn(watchers[0]!.text, 'status') as { status: object; observations: Record<string, unknown> }[]
  assert.equal(watchers[0]!.headers['content-type'], 'text/event-stream')
  assert.deepEqual(first?.status, await (await fetch(`${url}/v1/status`)).json())
  assert.deepEqual(
    { ...first?.observations, log: null },
    { at_seconds: 12.5, published: null, landing: null, log: null, store: null },
  )
  for (const watcher of watchers) watcher.destroy()
  await untilStill(reads)
})

test('what keeps the status from being read is told to watchers, who then get it again', async (t) => {
  const { url, pipeline } = await startTestServer(t, { times })
  const observe = pipeline.observe
  pipeline.observe = () => Promise.reject(new MillraceError('unavailable', 'the log is unreachable'))
  const watcher = await watch(url)
  await eventually(() => eventsIn(watcher.text, 'problem').length > 0)
  pipeline.observe = observe
  await eventually(() => eventsIn(watcher.text, 'status').length > 0)

  const [problem] = eventsIn(watcher.text, 'problem') as { code: string; detail: string; status: number }[]
  assert.deepEqual([problem?.code, problem?.detail, problem?.status], ['unavailable', 'the log is unreachable', 503])
  watcher.destroy()
})

test('nothing is read for a watcher that takes nothing, and it gets the latest when it goes on', async (t) => {
  const { url, pipeline } = await startTestServer(t, { times })
  const reads = countReads(pipeline)
  const large = (n: number) => ({ ...exampleStatus, version: `${n}-${'x'.repeat(2 * 1024 * 1024)}` })
  pipeline.statusAnswer = large(0)
  const watcher = await watch(url)
  watcher.pause()
  // Until the buffers of the connection are full.
  await untilStill(reads)
  const last = reads()
  pipeline.statusAnswer = { ...exampleStatus, version: 'latest' }
  watcher.resume()

  await eventually(() => watcher.text.includes('"version":"latest"'))
  assert.ok(reads() < last + 30, 'it was not sent what it had missed')
  watcher.destroy()
})

test('a stopping server ends the stream of a watcher', async (t) => {
  const { url, drain } = await startTestServer(t, { times })
  const watcher = await watch(url)
  const ended = once(watcher, 'end')

  await Promise.all([drain(5000), ended])
})
