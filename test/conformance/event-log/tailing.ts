import assert from 'node:assert/strict'
import type { TailPage, TopicCursor } from '../../../src/event-log/tail.ts'
import { within } from '../../support/eventually.ts'
import type { Bench } from '../event-log-bench.ts'
import {
  again,
  batchOf,
  group,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  named,
  stream,
  take,
  takeAll,
  topic,
} from '../event-log-verbs.ts'
import { isCode, type Story } from './story.ts'

const everything = { keepSinceMs: Number.MAX_SAFE_INTEGER / 1e6, maxBytes: 0 }

export function tailing(story: Story): void {
  const at = async (bench: Bench, place: Parameters<Bench['log']['tail']['cursorAt']>[1]) =>
    (await bench.log.tail.cursorAt(topic, place)).cursor
  const read = (bench: Bench, from: TopicCursor, maxBytes = 1e9) =>
    bench.log.tail.read(topic, from, { maxBytes, maxWaitMs: 0 })
  const waitFrom = (bench: Bench, from: TopicCursor, signal?: AbortSignal) =>
    bench.log.tail.read(topic, from, { maxBytes: 1e9, maxWaitMs: 20_000, ...(signal && { signal }) })
  const placesOf = ({ entries }: TailPage) =>
    entries.map(({ position: { stream: of, offset } }) => `${of.partition}/${of.lane}/${offset}`)
  /** Each an entry of its own: too large to be joined. */
  const appendLarge = async (bench: Bench, ...names: readonly string[]) => {
    for (const name of names) await bench.append('normal', batchOf(named(name, 600)))
  }
  const settleAll = async (bench: Bench) => {
    const consumer = await bench.consume()
    await consumer.settle((await takeAll(consumer)).map(landed))
  }

  story('a page of a tail has the entries of every lane and partition, each stream in order', async (bench) => {
    const start = await at(bench, 'now')
    for (const lane of ['low', 'high'] as const) {
      for (const partition of [1, 0]) {
        for (const name of ['a', 'b']) {
          const ids = named(`${lane}${partition}${name}`, 600)
          await bench.log.append(stream(lane, partition), [batchOf(ids)])
        }
      }
    }
    const page = await read(bench, start)
    const expected = [
      '0/high/0',
      '0/high/600',
      '0/low/0',
      '0/low/600',
      '1/high/0',
      '1/high/600',
      '1/low/0',
      '1/low/600',
    ]
    assert.deepEqual(placesOf(page).toSorted(), expected)
    for (const part of ['0/high', '0/low', '1/high', '1/low']) {
      const own = page.entries.filter(({ position: p }) => part === `${p.stream.partition}/${p.stream.lane}`)
      const [partition, lane] = part.split('/')
      assert.deepEqual(idsOf(own), [...named(`${lane}${partition}a`, 600), ...named(`${lane}${partition}b`, 600)])
      assert.ok(own.every(({ position, batch }) => position.epoch === start.epoch && batch.damaged === undefined))
    }
    assert.equal(page.gap, null)
    assert.deepEqual(page.cursor, await at(bench, 'now'))
    assert.deepEqual(await read(bench, page.cursor), { entries: [], cursor: page.cursor, gap: null })
  })

  story(
    'a tail that reads in small pages gets every entry once, and no stream keeps the others waiting',
    async (bench) => {
      for (let index = 0; index < 6; index++) {
        await bench.append('low', batchOf(named(`low${index}.`, 600)))
        if (index < 2) await bench.append('high', batchOf(named(`high${index}.`, 600)))
      }
      const got: string[] = []
      let cursor = await at(bench, 'earliest')
      for (let page = await read(bench, cursor, 1); page.entries.length > 0; page = await read(bench, cursor, 1)) {
        assert.ok(page.entries.length <= 2)
        got.push(...placesOf(page))
        cursor = page.cursor
      }
      const inLane = (lane: string) => got.filter((place) => place.includes(lane))
      assert.deepEqual(inLane('high'), ['0/high/0', '0/high/600'])
      assert.deepEqual(
        inLane('low'),
        [0, 1, 2, 3, 4, 5].map((index) => `0/low/${index * 600}`),
      )
      assert.ok(got.indexOf('0/high/600') < 5, 'the short lane is served beside the long one')
    },
  )

  story('a tail at the end waits until something is appended, in any partition and lane', async (bench) => {
    let cursor = await at(bench, 'now')
    for (const [lane, partition] of [
      ['normal', 0],
      ['low', 1],
    ] as const) {
      const waiting = waitFrom(bench, cursor)
      // So that the read has found nothing by then.
      await bench.log.describe()
      await bench.log.append(stream(lane, partition), [batchOf([`${lane}`])])
      const page = await within(5_000, 'the entry', waiting)
      assert.deepEqual(idsOf(page.entries), [lane])
      cursor = page.cursor
    }
  })

  story('tails neither disturb groups nor are kept back by them', async (bench) => {
    await appendLarge(bench, 'a', 'b')
    const consumer = await bench.consume()
    const [a] = await take(consumer, 600)
    const start = await at(bench, 'earliest')
    const [one, other] = await Promise.all([read(bench, start), read(bench, start)])
    assert.deepEqual(idsOf(one.entries), [...named('a', 600), ...named('b', 600)])
    assert.deepEqual(one, other)
    await consumer.settle([again(a!, 0)])
    assert.deepEqual((await read(bench, one.cursor)).entries, [], 'redeliveries are not read again')
    await consumer.settle((await takeAll(consumer)).map(landed))
    assert.deepEqual(await ledgerOf(bench.log), ledger({ accepted: 1200, landed: 1200 }))
    assert.equal((await bench.log.trim(topic, everything)).events, 1200)
  })

  story('a tail that trimming has overtaken is told exactly how many events it has missed', async (bench) => {
    const start = await at(bench, 'now')
    await appendLarge(bench, 'a', 'b')
    await bench.append('high', batchOf(named('h', 700)))
    await settleAll(bench)
    await bench.log.trim(topic, everything)
    await appendLarge(bench, 'c')
    const inside = { ...start, offsets: start.offsets.map((offset, index) => offset + (index === 1 ? 250 : 0)) }
    for (const [from, missed] of [
      [start, 1900],
      [inside, 1650],
    ] as const) {
      const page = await read(bench, from)
      assert.deepEqual([idsOf(page.entries), page.gap], [named('c', 600), { events: missed }])
      assert.deepEqual(await read(bench, page.cursor), { entries: [], cursor: page.cursor, gap: null })
    }
    assert.equal((await read(bench, await at(bench, 'earliest'))).gap, null)
    await settleAll(bench)
    await bench.log.trim(topic, everything)
    const emptied = await within(5_000, 'the gap', waitFrom(bench, start))
    assert.deepEqual([emptied.entries, emptied.gap], [[], { events: 2500 }])
  })

  story('a cursor inside an entry gets the whole entry', async (bench) => {
    await appendLarge(bench, 'a', 'b')
    const start = await at(bench, 'earliest')
    const inside = (offset: number) => ({
      ...start,
      offsets: start.offsets.map((_, index) => (index === 1 ? offset : 0)),
    })
    for (const [offset, places] of [
      [599, ['0/normal/0', '0/normal/600']],
      [600, ['0/normal/600']],
      [601, ['0/normal/600']],
    ] as const) {
      const page = await read(bench, inside(offset))
      assert.deepEqual([placesOf(page), page.gap], [places, null])
    }
  })

  story('after a change of the epoch a tail goes on where it was, and the gap is unknown', async (bench) => {
    await appendLarge(bench, 'a', 'b')
    const now = await at(bench, 'now')
    const epoch = now.epoch - 1
    const before = { epoch, offsets: now.offsets.map((_, index) => (index === 1 ? 600 : 0)) }
    const page = await read(bench, before)
    const more = await read(bench, page.cursor)
    assert.deepEqual([page.gap, more.gap, more.cursor], [{ events: null }, null, now])
    assert.deepEqual(idsOf([...page.entries, ...more.entries]), named('b', 600))
    const beyond = { epoch, offsets: now.offsets.map((offset) => offset + 5000) }
    for (const from of [beyond, { ...beyond, epoch: now.epoch }]) {
      const moved = await within(5_000, 'the gap', waitFrom(bench, from))
      assert.deepEqual(moved, { entries: [], cursor: now, gap: { events: null } })
    }
    await appendLarge(bench, 'c')
    assert.deepEqual(idsOf((await read(bench, now)).entries), named('c', 600))
  })

  story('a tail gets the entries of partitions that were added since its cursor', async (bench) => {
    const before = await at(bench, 'now')
    await bench.log.declare(topic, { partitions: 3, groups: [] })
    await bench.log.append(stream('low', 2), [batchOf(['new'])])
    const page = await read(bench, before)
    assert.deepEqual([idsOf(page.entries), page.gap, page.cursor.offsets.length], [['new'], null, 9])
    const tooMany = { ...page.cursor, offsets: [...page.cursor.offsets, 0] }
    await assert.rejects(read(bench, tooMany), isCode('invalid_event'))
  })

  story('cursorAt a time finds the first kept entry that was received then or later', async (bench) => {
    const receivedAtMs = 1_700_000_000_000
    for (let index = 0; index < 20; index++) {
      await bench.append('normal', batchOf(named(`${index}.`, 600), (receivedAtMs + index * 1000) * 1000))
    }
    await bench.append('low', batchOf(['old'], receivedAtMs * 1000))
    for (const [ms, offset] of [
      [0, 0],
      [6999, 4200],
      [7000, 4200],
      [7001, 4800],
      [19_000, 11_400],
      [19_001, 12_000],
    ] as const) {
      const found = await bench.log.tail.cursorAt(topic, { receivedSinceMs: receivedAtMs + ms })
      assert.deepEqual([found.cursor.offsets.slice(0, 3), found.isCut], [[0, offset, ms === 0 ? 0 : 1], false], `${ms}`)
    }
    await settleAll(bench)
    await bench.log.trim(topic, { keepSinceMs: receivedAtMs + 5000, maxBytes: 1e9 })
    const cutAt = async (ms: number) => {
      const { cursor, isCut } = await bench.log.tail.cursorAt(topic, { receivedSinceMs: receivedAtMs + ms })
      return [cursor.offsets[1], isCut]
    }
    assert.deepEqual(await cutAt(2000), [3000, true])
    assert.deepEqual((await at(bench, 'earliest')).offsets.slice(0, 3), [0, 3000, 1])
  })

  story('a cursor at what a group has settled misses nothing that has not landed or died', async (bench) => {
    const settledBy = async () => (await at(bench, { settledBy: group })).offsets[1]!
    assert.equal(await settledBy(), 0)
    await appendLarge(bench, 'a', 'b', 'c')
    const consumer = await bench.consume()
    const [a, b, c] = await takeAll(consumer)
    assert.equal(await settledBy(), 0)
    await consumer.settle([landed(b!)])
    assert.equal(await settledBy(), 0)
    await consumer.settle([landed(a!)])
    assert.ok((await settledBy()) <= 1200)
    await consumer.settle([again(c!, bench.under.now() + 60_000)])
    await appendLarge(bench, 'd')
    assert.ok((await settledBy()) <= 1200, 'a redelivery has not landed')
    await bench.crash()
    const next = await bench.consume()
    await bench.under.passTime(60_000)
    const [first, second] = await takeAll(next)
    await next.settle([landed(first!)])
    assert.ok((await settledBy()) <= 1800)
    await next.settle([landed(second!)])
    assert.equal(await settledBy(), 2400)
  })

  story('a tail of an undeclared topic, and a cursor at an undeclared group, reject with not_found', async (bench) => {
    const { tail } = bench.log
    await assert.rejects(tail.cursorAt('unknown', 'now'), isCode('not_found'))
    await assert.rejects(tail.cursorAt(topic, { settledBy: 'unknown' }), isCode('not_found'))
    const from = { epoch: 1, offsets: [] }
    await assert.rejects(tail.read('unknown', from, { maxBytes: 1, maxWaitMs: 0 }), isCode('not_found'))
  })

  story('an aborted read resolves with no entries, and another one can follow', async (bench) => {
    const cursor = await at(bench, 'now')
    const nothing = { entries: [], cursor, gap: null }
    const abort = new AbortController()
    const waiting = waitFrom(bench, cursor, abort.signal)
    abort.abort()
    assert.deepEqual(await within(5_000, 'the answer', waiting), nothing)
    assert.deepEqual(await waitFrom(bench, cursor, abort.signal), nothing)
    await bench.append('normal', batchOf(['a']))
    assert.deepEqual(idsOf((await waitFrom(bench, cursor)).entries), ['a'])
  })

  story('close ends the waiting reads of a tail, and later ones are refused', async (bench) => {
    const { tail } = bench.log
    const cursor = await at(bench, 'now')
    const waiting = waitFrom(bench, cursor)
    await within(5_000, 'closing', bench.log.close())
    assert.deepEqual(await within(5_000, 'the answer', waiting), { entries: [], cursor, gap: null })
    await assert.rejects(tail.read(topic, cursor, { maxBytes: 1, maxWaitMs: 0 }), isCode('unavailable'))
    await assert.rejects(tail.cursorAt(topic, 'now'), isCode('unavailable'))
  })
}
