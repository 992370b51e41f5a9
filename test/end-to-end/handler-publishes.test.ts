// What handlers publish, in a whole server.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineHandler, type EventInput, type HandledEvent, MillraceError } from '../../src/index.ts'
import { backends } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'

const group = 'mailer'

for (const backend of backends('embedded', 'redis')) {
  test(`a handler that feeds its own topic goes on while the backlog is full (${backend.name})`, async (t) => {
    const isFull = Promise.withResolvers<void>()
    let published = 0
    const handler = defineHandler({
      group,
      concurrency: 2,
      async handle(event, { publish }) {
        await isFull.promise
        const { hops } = event.json() as { hops: number }
        if (hops > 0) await publish({ id: `${event.id}.${hops}`, type: event.type, data: { hops: hops - 1 } })
        published++
      },
    })
    const home = await backend.home(t)
    const env = { ...home.env, MILLRACE_MAX_WAITING_EVENTS: '50' }
    const server = await startInProcess(t, { ...home, env, handlers: [handler] })
    const client = clientOf(t, server)
    let accepted = 0
    const fill = async () => {
      try {
        for (;;) {
          await client.publishEvents([{ type: 'a', data: { hops: 4 } }])
          accepted++
        }
      } catch (error) {
        assert.equal((error as MillraceError).code, 'backlogged')
      }
    }
    await fill()
    isFull.resolve()
    // Producers take each place that is freed and are refused the rest of the time.
    const hammering = new AbortController()
    const producers = Array.from({ length: 4 }, async () => {
      while (!hammering.signal.aborted) await fill()
    })
    await eventually(() => assert.ok(published >= 100))
    hammering.abort()
    await Promise.all(producers)

    await eventually(async () => {
      const line = (await server.ledger()).find((each) => each.group === group)!
      const { waiting, landed, dead, balanced } = line
      assert.deepEqual(
        { waiting, landed, dead, balanced },
        { waiting: 0, landed: accepted * 5, dead: 0, balanced: true },
      )
    })
  })
}

test('what a handler publishes reaches the topic that it names, in the trace of the event at work', async (t) => {
  const seen = Promise.withResolvers<HandledEvent>()
  const inner = 'order.paid'
  const handlers = [
    defineHandler({
      group,
      async handle({ eventId }, { publish }) {
        const parts = { type: 'mail.wanted', lane: 'high', key: 'k', data: { to: 'a' } } as const
        await publish([{ ...parts, id: `mail-${eventId}`, attributes: [['tenant', 'x']] }], { topic: 'mails' })
      },
    }),
    defineHandler({ group: 'sender', topic: 'mails', handle: (event) => seen.resolve(event) }),
  ]
  const server = await startInProcess(t, { topics: ['mails'], handlers })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const id = '0190b1c2-7c10-7000-8000-000000000001'
  await clientOf(t, server).publishEvents([
    { id, type: inner, attributes: Object.entries({ traceparent, other: 'y' }) },
  ])

  const event = await seen.promise
  assert.deepEqual([event.id, event.type, event.priority, event.key], [`mail-${id}`, 'mail.wanted', 'high', 'k'])
  assert.deepEqual(event.json(), { to: 'a' })
  assert.deepEqual(event.attributes, { tenant: 'x', traceparent })
})

test('events that cannot be published are refused with the field that is wrong, and none of their call is stored', async (t) => {
  const good = { type: 'good' }
  const wrong: [given: unknown, code: string, field: string | undefined, text: RegExp][] = [
    [{ type: '' }, 'invalid_event', 'events[0]', /events\[0\]: type is empty/],
    [[good, { type: 'a', key: 5 }], 'invalid_event', 'events[1].key', /events\[1\]: key must be a text/],
    [[good, good, { ...good, data: 5n }], 'invalid_event', 'events[2].data', /events\[2\]: data has no JSON form/],
    [[good, { ...good, data: Buffer.from('{') }], 'invalid_event', 'events[1]', /events\[1\]: data /],
    [[{ ...good, data: 'x'.repeat(1024 * 1024) }], 'event_too_large', 'events[0].data', /the limit is 1048576/],
    [Array(5).fill({ ...good, data: 'x'.repeat(1e6) }), 'message_too_large', 'events', /more than 4194304 bytes/],
    [Array(100_001).fill(good), 'too_many_events', 'events', /100001 events .* the limit is 100000/],
    [undefined, 'invalid_event', 'events[0]', /must be an object/],
  ]
  const errors: MillraceError[] = []
  const handled: string[] = []
  const handler = defineHandler({
    group,
    timeoutMs: 2000,
    async handle({ type }, { publish, signal }) {
      handled.push(type)
      if (type !== 'start') return
      const note = (error: unknown) => void errors.push(error as MillraceError)
      for (const [events] of wrong) await publish(events as EventInput).catch(note)
      await publish([good], { topic: 'nowhere' }).catch(note)
      await publish([])
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await publish(good).catch(note)
    },
  })
  const server = await startInProcess(t, { handlers: [handler], env: { MILLRACE_MAX_ATTEMPTS: '1' } })
  await clientOf(t, server).publishEvents([{ type: 'start' }])

  await eventually(() => assert.equal(errors.length, wrong.length + 2))
  for (const [index, [, code, field, text]] of wrong.entries()) {
    const error = errors[index]!
    assert.ok(error instanceof MillraceError, String(error))
    assert.deepEqual([error.code, error.field], [code, field], error.message)
    assert.match(error.message, text)
  }
  const [undeclared, late] = errors.slice(-2)
  assert.deepEqual([undeclared?.code, undeclared?.field], ['not_found', 'topic'])
  assert.deepEqual(
    [late?.code, late?.message],
    ['deadline_exceeded', 'nothing is published after the time limit of the attempt'],
  )
  await eventually(async () => {
    const line = (await server.ledger()).find((each) => each.group === group)!
    assert.deepEqual([line.waiting, line.accepted], [0, 1])
  })
  assert.deepEqual(handled, ['start'])
})
