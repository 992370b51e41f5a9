import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { LoopWatch, minBlockedMs } from './loop-watch.ts'

const mailer = { topic: 'events', group: 'mailer' }
const audit = { topic: 'orders', group: 'audit' }

function watchOf(t: TestContext) {
  const warned: {
    readonly fields: { readonly blocked_ms: number; readonly handlers: string[] }
    readonly text: string
  }[] = []
  const logger = { warn: (fields: never, text: string) => warned.push({ fields, text }) } as unknown as Logger
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const watch = new LoopWatch({ logger, metrics, monotonicNow: () => performance.now() })
  return { watch, warned, blockedSeconds: (group: string) => metrics.handlerBlocked.total({ group }) }
}

function block(forMs: number): void {
  for (const fromMs = performance.now(); performance.now() - fromMs < forMs; );
}

test('a call that does not return for long is named alone and once, with its time', async (t) => {
  const { watch, warned, blockedSeconds } = watchOf(t)
  const others = Promise.withResolvers<void>()
  const other = watch.run(audit, () => others.promise)
  await watch.run(mailer, async () => block(minBlockedMs + 20))
  // Long enough for the timer, which must not report the same block.
  await sleep(250)
  others.resolve()
  await other

  assert.equal(warned.length, 1)
  const { fields, text } = warned[0]!
  assert.deepEqual(fields.handlers, ['events/mailer'])
  assert.ok(fields.blocked_ms >= minBlockedMs + 20, `${fields.blocked_ms}`)
  assert.match(text, /^the handler mailer of events blocked the event loop for \d+ ms: split CPU work/)
  assert.ok(blockedSeconds('mailer') >= 1.02)
  assert.equal(blockedSeconds('audit'), 0)
})

test('a block after an await names all that had events at work, also when it ends their last one', async (t) => {
  const { watch, warned, blockedSeconds } = watchOf(t)
  const begun = Promise.withResolvers<void>()
  const other = watch.run(audit, () => begun.promise)
  await watch.run(mailer, async () => {
    await sleep(1)
    block(minBlockedMs + 300)
    begun.resolve()
  })
  await other

  assert.equal(warned.length, 1)
  assert.deepEqual(warned[0]!.fields.handlers, ['orders/audit', 'events/mailer'])
  assert.match(warned[0]!.text, /while events were at work in audit of orders, mailer of events: /)
  assert.ok(blockedSeconds('audit') >= 1 && blockedSeconds('mailer') >= 1)
})

test('work that lets the loop turn is not reported, nor a block while nothing is at work', async (t) => {
  const { watch, warned } = watchOf(t)
  await watch.run(mailer, async () => block(5))
  block(minBlockedMs + 300)
  await watch.run(mailer, () => sleep(300))
  assert.deepEqual(warned, [])
})
