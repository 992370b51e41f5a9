import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { postEvents } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'

const eventsPerBatch = 100
const batchesPerSecond = 10
const maxGrownBytes = 10 * 1024 * 1024

test('a live list that is full does not grow, and the page answers', async (t) => {
  const server = await startInProcess(t)
  const page = await openConsole(t, await openBrowser(t), server, '/events')
  await page.getByText('live', { exact: true }).waitFor()
  const debug = await page.context().newCDPSession(page)
  const usedBytes = async () => {
    await debug.send('HeapProfiler.collectGarbage')
    return (await debug.send('Runtime.getHeapUsage')).usedSize
  }
  const data = { note: 'x'.repeat(200) }
  const publish = async (seconds: number) => {
    const batch = JSON.stringify(
      Array.from({ length: eventsPerBatch }, (_, n) => ({ type: 'page.viewed', data, key: `${n}` })),
    )
    for (let sent = 0; sent < seconds * batchesPerSecond; sent++) {
      const [{ status }] = await Promise.all([postEvents(server.http, batch), sleep(1000 / batchesPerSecond)])
      assert.equal(status, 202)
    }
  }
  const received = (count: string) => page.getByText(`${count} received`).waitFor()

  await publish(3)
  await received('3,000')
  const before = await usedBytes()
  await page.evaluate(
    `longest = 0; new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest = Math.max(longest, duration)
    }).observe({ type: 'longtask' })`,
  )
  await publish(7)
  await received('10,000')

  const grown = (await usedBytes()) - before
  t.diagnostic(`${Math.round(before / 1024)} KiB used, ${Math.round(grown / 1024)} KiB more after 7,000 events`)
  t.diagnostic(`the longest task took ${await page.evaluate('longest')} ms`)
  assert.ok(grown < maxGrownBytes, `${grown} bytes`)
})
