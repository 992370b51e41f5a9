import assert from 'node:assert/strict'
import type { Delivery, Outcome } from '../../../src/event-log/event-log.ts'
import type { RequestRegistration } from '../../../src/event-log/replies.ts'
import { eventually } from '../../support/eventually.ts'
import type { Bench } from '../event-log-bench.ts'
import { again, batchOf, group, idsIn, idsOf, landed, leaseMs, named, stream, take, topic } from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

const ttlMs = 600_000
const inbox = 'inbox-1'

function request({ log }: Bench, id: string, once: Partial<RequestRegistration> = {}, maxEvents = 1000) {
  const maxWaiting = { maxEvents, maxBytes: 1e9 }
  return log.append(stream(), [batchOf([id])], { once: { id, fingerprint: 'f', ttlMs, ...once }, maxWaiting })
}

function replied(
  delivery: Delivery,
  text: string,
  more: { readonly id?: string; readonly ttlMs?: number } = {},
): Outcome {
  const reply = { id: idsIn(delivery)[0]!, bytes: Buffer.from(text), ttlMs, inbox, ...more }
  return { ...landed(delivery), reply }
}

/** The stage of a request, or the text of its reply. */
async function stateOf({ log }: Bench, id: string): Promise<string | null> {
  const stored = await log.replies.get(topic, group, id)
  return stored?.stage === 'replied' ? `reply: ${Buffer.from(stored.bytes)}` : (stored?.stage ?? null)
}

/** What a listener was told, in order. */
async function listenTo({ log }: Bench, name = inbox) {
  const heard: string[] = []
  const onReply = (id: string, bytes: Uint8Array) => void heard.push(`${id}: ${Buffer.from(bytes)}`)
  const stop = await log.replies.listen(topic, name, { onReply, onMissed() {} })
  return { heard, stop }
}

export function requesting(story: Story): void {
  const duplicate = { positions: [], duplicate: true }

  story('a request that is sent again is a duplicate, at the same time, later and after a crash', async (bench) => {
    const sends = await Promise.all([request(bench, 'a'), request(bench, 'a'), bench.append('normal', batchOf(['b']))])
    assert.deepEqual(
      sends.map((sent) => sent.duplicate),
      [false, true, false],
    )
    await bench.crash()
    assert.deepEqual(await request(bench, 'a'), duplicate)
    assert.deepEqual(idsOf(await take(await bench.consume())), ['a', 'b'])
    await bench.restart()
    assert.deepEqual(await request(bench, 'a'), duplicate)
  })

  story('a request id with another fingerprint is refused, its neighbours are appended', async (bench) => {
    await request(bench, 'a')
    const [before, other, after] = await Promise.allSettled([
      request(bench, 'b'),
      request(bench, 'a', { fingerprint: 'g' }),
      request(bench, 'c', { id: 'c/{}\u0000 *' }),
    ])
    assert.ok(other.status === 'rejected' && isCode('failed_precondition')(other.reason))
    assert.deepEqual([before.status, after.status], ['fulfilled', 'fulfilled'])
    assert.deepEqual(idsOf(await take(await bench.consume())), ['a', 'b', 'c'])
    assert.equal(await stateOf(bench, 'c/{}\u0000 *'), 'started')
  })

  story('an append that is refused registers no request', async (bench) => {
    await bench.append('normal', batchOf(named('waiting', 2)))
    await assert.rejects(request(bench, 'a', {}, 2), isCode('backlogged'))
    assert.equal(await stateOf(bench, 'a'), null)
    const two = { once: { id: 'two', fingerprint: 'f', ttlMs } }
    await assert.rejects(bench.log.append(stream(), [batchOf(['d', 'e'])], two), isCode('internal'))
    await assert.rejects(bench.log.append(stream('high'), [batchOf(['d'])], two), isCode('internal'))
    assert.equal((await request(bench, 'a')).duplicate, false)
    assert.deepEqual(await request(bench, 'a', {}, 2), duplicate, 'it is stored, so no limit refuses it')
  })

  story('requests are delivered one by one, also those that were sent together', async (bench) => {
    const plain = bench.append('normal', batchOf(['plain']))
    await Promise.all([plain, request(bench, 'a'), request(bench, 'b'), bench.append('normal', batchOf(['more']))])
    const deliveries = await take(await bench.consume())
    assert.deepEqual(deliveries.map(idsIn), [['plain'], ['a'], ['b'], ['more']])
  })

  story('a request is accepted, then started, then replied; one that is given back is accepted', async (bench) => {
    for (const id of ['a', 'b']) await request(bench, id)
    assert.deepEqual([await stateOf(bench, 'a'), await stateOf(bench, 'unknown')], ['accepted', null])
    const first = await bench.consume()
    await take(first, 1)
    assert.deepEqual([await stateOf(bench, 'a'), await stateOf(bench, 'b')], ['started', 'accepted'])
    await first.close()
    assert.equal(await stateOf(bench, 'a'), 'accepted')

    const consumer = await bench.consume()
    const [delivery] = await take(consumer, 1)
    await consumer.settle([again(delivery!, bench.under.now() + leaseMs)])
    assert.equal(await stateOf(bench, 'a'), 'started')
    await bench.crash()
    assert.equal(await stateOf(bench, 'a'), 'started')
    const second = await bench.consume()
    const [redelivery] = await take(second, 1)
    assert.deepEqual(await second.settle([replied(redelivery!, '6 words')]), [])
    assert.equal(await stateOf(bench, 'a'), 'reply: 6 words')
    await bench.crash()
    assert.equal(await stateOf(bench, 'a'), 'reply: 6 words')
    assert.deepEqual(await request(bench, 'a'), duplicate)
  })

  story('a reply is stored only with its settlement, and the first one stays', async (bench) => {
    const { heard } = await listenTo(bench)
    await request(bench, 'a')
    const [first, second] = [await bench.consume(), await bench.consume()]
    const [delivery] = await take(first)
    assert.deepEqual(await second.settle([replied(delivery!, 'not mine')]), [delivery])
    assert.equal(await stateOf(bench, 'a'), 'started')
    await first.settle([replied(delivery!, '')])
    assert.deepEqual(await first.settle([replied(delivery!, 'settled before')]), [delivery])
    await request(bench, 'b')
    const [other] = await take(second)
    await second.settle([replied(other!, 'late', { id: 'a' })])
    await request(bench, 'c')
    await second.settle((await take(second)).map((one) => replied(one, 'not known', { id: 'd' })))
    assert.equal(await stateOf(bench, 'a'), 'reply: ')
    assert.equal(await stateOf(bench, 'd'), null)
    await request(bench, 'last')
    await second.settle((await take(second)).map((one) => replied(one, '!')))
    await eventually(() => assert.deepEqual(heard, ['a: ', 'last: !']))
  })

  story('a request is unknown when its time to live has ended, and so is its reply', async (bench) => {
    const consumer = await bench.consume()
    await Promise.all(['kept', 'answered', 'unanswered'].map((id) => request(bench, id, { ttlMs: 3000 })))
    const [kept, answered, unanswered] = await take(consumer)
    await consumer.settle([replied(answered!, 'x', { ttlMs: 1 }), replied(kept!, 'y')])
    await eventually(async () => {
      assert.equal(await stateOf(bench, 'unanswered'), null)
      assert.equal(await stateOf(bench, 'answered'), null)
    })
    await bench.log.trim(topic, { keepSinceMs: 0, maxBytes: 1e9 })
    assert.equal(await stateOf(bench, 'kept'), 'reply: y', 'the time to live of the reply counts')
    assert.deepEqual(await consumer.settle([replied(unanswered!, 'too late')]), [])
    assert.equal(await stateOf(bench, 'unanswered'), null)
    assert.equal((await request(bench, 'unanswered', { fingerprint: 'g' })).duplicate, false)
    assert.equal(await stateOf(bench, 'unanswered'), 'accepted')
  })

  story('the event of a forgotten request does not answer the one that has its id now', async (bench) => {
    await request(bench, 'a', { ttlMs: 1 })
    await eventually(async () => assert.equal(await stateOf(bench, 'a'), null))
    const consumer = await bench.consume()
    const [old] = await take(consumer)
    await consumer.settle([again(old!, bench.under.now())])
    assert.equal((await request(bench, 'a')).duplicate, false)
    const deliveries = await take(consumer)
    const [retried, fresh] = deliveries.toSorted((one, other) => other.attempt - one.attempt)
    assert.deepEqual([retried?.attempt, fresh?.attempt], [2, 1])
    assert.deepEqual(await consumer.settle([replied(retried!, 'too late')]), [])
    assert.equal(await stateOf(bench, 'a'), 'started')
    await consumer.settle([again(fresh!, bench.under.now())])
    await consumer.settle((await take(consumer)).map((one) => replied(one, 'its own')))
    assert.equal(await stateOf(bench, 'a'), 'reply: its own')
  })

  story('a listener hears the replies to its inbox until it is stopped', async (bench) => {
    const [mine, second, other] = [await listenTo(bench), await listenTo(bench), await listenTo(bench, 'inbox-2')]
    const consumer = await bench.consume()
    const answer = async (id: string) => {
      await request(bench, id)
      await consumer.settle((await take(consumer)).map((one) => replied(one, id.toUpperCase())))
    }
    await answer('a')
    await eventually(() => assert.deepEqual([mine.heard, second.heard], [['a: A'], ['a: A']]))
    mine.stop()
    await answer('b')
    await eventually(() => assert.deepEqual(second.heard, ['a: A', 'b: B']))
    assert.deepEqual([mine.heard, other.heard], [['a: A'], []])
    await assert.rejects(
      bench.log.replies.listen('unknown', inbox, { onReply() {}, onMissed() {} }),
      isCode('not_found'),
    )
    await assert.rejects(bench.log.replies.get(topic, 'unknown', 'a'), isCode('not_found'))
  })

  story('a group has consumers from the first that joins until the last has closed or died', async (bench) => {
    const hasConsumers = () => bench.log.hasConsumers(topic, group)
    assert.deepEqual([await hasConsumers(), await bench.log.hasConsumers('unknown', group)], [false, false])
    const [first, second] = [await bench.consume(), await bench.consume()]
    assert.equal(await hasConsumers(), true)
    await first.close()
    assert.equal(await hasConsumers(), true)
    await second.close()
    assert.equal(await hasConsumers(), false)
    await bench.consume()
    await bench.crash()
    await eventually(async () => assert.equal(await hasConsumers(), false))
    await bench.consume()
    await bench.log.dropGroup(topic, group)
    assert.equal(await hasConsumers(), false)
  })
}
