// Tests of what every event store guarantees: the sentences of src/store/event-store.ts. A driver's test file consists
// of its harness and one call of `eventStoreSuite`. There are no flags to skip a test.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { EventIdGenerator, isUuid, lanes, limits, priorityOfLane } from '../../src/event/event.ts'
import type { EventParts } from '../../src/event/record-batch.ts'
import type { DeadLetterSummary } from '../../src/pipeline/dead-letters.ts'
import { keyLimits } from '../../src/pipeline/keys.ts'
import type { EventQuery, StoredEvent } from '../../src/pipeline/stored-event.ts'
import type { StoredApiKey } from '../../src/store/api-keys.ts'
import type { DeadLetter, StoredDeadLetterQuery } from '../../src/store/dead-letter.ts'
import { type EventStore, maxDataBytes, maxPageBytes, type StoredAgent } from '../../src/store/event-store.ts'
import { cleanup } from '../support/cleanup.ts'
import { identityOf, rowKeys } from '../support/identity.ts'
import { dashed } from '../support/store-file.ts'
import { counts, entriesOf, entryOf, listAll, newestFirst, someMicros, textOf } from './landing-entries.ts'
import type { StoreProcess } from './store-process.ts'

/** One row of `events`, read by SQL and joined with its stream. */
export interface EventTableRow {
  readonly eventId: string
  readonly id: string | null
  readonly source: string
  readonly type: string
  readonly subject: string | null
  readonly timeMicros: bigint
  readonly receivedAtMicros: bigint
  readonly topic: string
  readonly priority: number
  readonly key: string | null
  readonly data: string | null
  readonly dataBytes: Uint8Array | null
  readonly dataContentType: string
  readonly attributes: Readonly<Record<string, string>> | null
  readonly stream: { readonly topic: string; readonly partition: number; readonly lane: string; readonly epoch: number }
  readonly logOffset: number
}

/** A separate database for one test. */
export interface StoreUnderTest {
  open(): Promise<EventStore>
  /** Opens it in another process, which can be killed. */
  openInProcess(): Promise<StoreProcess>
  countRows(): Promise<number>
  readRow(eventId: string): Promise<EventTableRow | null>
  /** From now on the table rejects every event of this type, even when it is inserted alone. */
  refuseType(type: string): Promise<void>
  /** From now on a trigger on the table skips every event of this type without an error. */
  skipType(type: string): Promise<void>
  /** From now on triggers on the table of dead letters reject or skip every letter of the type `refused` or `skipped`. */
  refuseLetters(): Promise<void>
  acceptLetters(): Promise<void>
  destroy(): Promise<void>
}

export interface EventStoreHarness {
  readonly driver: string
  /** Creates an empty database. */
  create(): Promise<StoreUnderTest>
}

const ids = new EventIdGenerator()
const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

export function eventStoreSuite(harness: EventStoreHarness): void {
  const story = (title: string, body: (database: StoreUnderTest, store: EventStore, t: TestContext) => Promise<void>) =>
    test(`${title} (${harness.driver})`, async (t) => {
      const database = await harness.create()
      cleanup(t, () => database.destroy())
      const store = await database.open()
      cleanup(t, () => store.close())
      await body(database, store, t)
    })

  landing(story)
  identity(story)
  columns(story)
  listing(harness, story)
  finding(story)
  deadLetters(story)
  agents(story)
  files(story)
  apiKeys(story)
  observing(story)
  lifetime(story)
}

type Story = (
  title: string,
  body: (database: StoreUnderTest, store: EventStore, t: TestContext) => Promise<void>,
) => void

function landing(story: Story): void {
  story('landEvents inserts one row for each event that has none yet', async (database, store) => {
    const events = Array.from({ length: 250 }, () => ({ id: ids.next(), type: 'order.paid' }))

    assert.deepEqual(await store.landEvents(entriesOf(events, 100)), counts(250))
    assert.deepEqual(await store.landEvents([]), counts(0))

    assert.equal(await database.countRows(), 250)
    assert.deepEqual(new Set((await listAll(store)).map(({ id }) => id)), new Set(events.map(({ id }) => id)))
  })

  story('when landEvents resolves, readers see the rows', async (database, store) => {
    for (let landed = 1; landed <= 5; landed++) {
      await store.landEvents([entryOf([{ id: ids.next(), type: 'a' }])])
      assert.equal(await database.countRows(), landed)
    }
  })

  story('an event whose row already exists is counted as a duplicate', async (database, store) => {
    const entries = entriesOf(
      Array.from({ length: 100 }, () => ({ id: ids.next(), type: 'a' })),
      10,
    )
    await store.landEvents(entries.slice(0, 4))

    assert.deepEqual(await store.landEvents(entries), counts(60, 40))
    assert.deepEqual(await store.landEvents(entries), counts(0, 100))
    assert.deepEqual(await store.landEvents([...entries, ...entries]), counts(0, 200))

    assert.equal(await database.countRows(), 100)
  })

  story('the first content wins, and different content under the same id is named as a conflict', async (_, store) => {
    const id = ids.next()
    const first = { id, type: 'a', data: json(1), subject: 's', timeMicros: someMicros }
    await store.landEvents([entryOf([first])])

    for (const other of [
      { ...first, data: json(2) },
      { ...first, type: 'b' },
      { ...first, subject: 't' },
      { ...first, key: 'k' },
      { ...first, timeMicros: someMicros + 1 },
      { ...first, dataContentType: 'text/plain' },
    ]) {
      assert.deepEqual(await store.landEvents([entryOf([other])]), counts(0, 1, [{ entry: 0, index: 0 }]))
    }
    assert.deepEqual(await store.landEvents([entryOf([first])]), counts(0, 1))
    const other = { ...first, data: json(2) }
    const fresh = { id: ids.next(), type: 'fresh' }
    const { conflicts, ...rest } = await store.landEvents([entryOf([fresh, other]), entryOf([other, first, other])])
    assert.deepEqual(rest, { landed: 1, duplicates: 4, poison: [] })
    assert.deepEqual(
      conflicts.map(({ entry, index }) => `${entry}/${index}`).sort(),
      ['0/1', '1/0', '1/2'],
      'the places of the events whose content differs',
    )

    assert.deepEqual(
      (await listAll(store)).filter(({ id: found }) => found === id).map((event) => [textOf(event), event.type]),
      [['1', 'a']],
    )
  })

  story('an event without a time that is resent later is a duplicate, not a conflict', async (_, store) => {
    const event = { id: 'invoice-7', type: 'a' }
    await store.landEvents([entryOf([event], { receivedAtMicros: someMicros })])

    assert.deepEqual(await store.landEvents([entryOf([event], { receivedAtMicros: someMicros + 9 })]), counts(0, 1))

    const [stored] = await listAll(store)
    assert.deepEqual([stored?.timeMicros, stored?.receivedAtMicros], [someMicros, someMicros])
  })

  story(
    'a poison event neither delays nor drops the other events of the call, and gets no row',
    async (database, store) => {
      await database.refuseType('poison')
      const poisonAt = [3, 500, 501]
      const events = Array.from({ length: 1000 }, (_, index) => ({
        id: ids.next(),
        type: poisonAt.includes(index) ? 'poison' : 'a',
      }))

      for (const [landed, duplicates] of [[997, 0] as const, [0, 997] as const]) {
        const answer = await store.landEvents(entriesOf(events, 100))
        assert.deepEqual({ ...answer, poison: [] }, counts(landed, duplicates))
        assert.deepEqual(
          answer.poison.map(({ entry, index }) => entry * 100 + index),
          poisonAt,
        )
        for (const { databaseCode, message } of answer.poison) {
          assert.match(databaseCode, /^\w+$/)
          assert.notEqual(message, '')
        }
      }

      assert.equal(await database.countRows(), 997)
      assert.deepEqual(await listAll(store, { type: 'poison' }), [])
    },
  )

  story('a call with only poison events lands nothing, and the next call lands', async (database, store) => {
    await database.refuseType('poison')

    const answer = await store.landEvents(entriesOf(Array(40).fill({ id: ids.next(), type: 'poison' }), 7))

    assert.deepEqual({ ...answer, poison: answer.poison.length }, { ...counts(0), poison: 40 })
    assert.deepEqual(await store.landEvents([entryOf([{ id: ids.next(), type: 'a' }])]), counts(1))
  })

  story(
    'an event that a trigger skips is poison, never counted as landed or as a duplicate',
    async (database, store) => {
      await database.skipType('skipped')
      const skippedAt = [3, 500, 501]
      const events = Array.from({ length: 1000 }, (_, index) => ({
        id: ids.next(),
        type: skippedAt.includes(index) ? 'skipped' : 'a',
      }))

      // At first every event is new, then some are duplicates, then all that can be.
      for (const [given, landed, duplicates] of [
        [510, 507, 0],
        [1000, 490, 507],
        [1000, 0, 997],
      ] as const) {
        const answer = await store.landEvents(entriesOf(events.slice(0, given), 100))
        assert.deepEqual({ ...answer, poison: [] }, counts(landed, duplicates))
        assert.deepEqual(
          answer.poison.map(({ entry, index }) => entry * 100 + index),
          skippedAt,
        )
        for (const { message } of answer.poison) assert.equal(message, 'a trigger on the table skipped the row')
      }

      assert.equal(await database.countRows(), 997)
      assert.equal((await listAll(store)).length, 997)
    },
  )

  story('overlapping calls together insert one row for each event', async (database, store) => {
    const entries = entriesOf(
      Array.from({ length: 200 }, () => ({ id: ids.next(), type: 'a' })),
      20,
    )

    const answers = await Promise.all([1, 2, 3, 4].map((calls) => store.landEvents(entries.slice(0, calls * 2 + 2))))

    assert.equal(
      answers.reduce((sum, { landed }) => sum + landed, 0),
      200,
    )
    assert.equal(await database.countRows(), 200)
  })
}

/** The row keys that an event may have. Neither depends on the case of a UUID. */
function keysOf(source: string, id: string): string[] {
  return rowKeys(source, isUuid(id) ? id.toLowerCase() : id).map(dashed)
}

function identity(story: Story): void {
  story('there is one row for each event, however redeliveries are split and ordered', async (_, store) => {
    let run = 0
    const event = fc.record({ name: fc.nat(4), source: fc.constantFrom('/a', '/b'), upperCase: fc.boolean() })
    const events = fc.array(event, { minLength: 1, maxLength: 12 })
    const calls = fc.array(fc.array(fc.nat(11), { minLength: 1, maxLength: 24 }), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(events, calls, fc.integer({ min: 1, max: 9 }), async (choices, deliveries, size) => {
        const type = `run-${++run}`
        // The first three names are UUIDs that two sources share; the other two are plain text.
        const names = [ids.next(), ids.next(), ids.next(), `${type}-x`, `${type}-Y`]
        const made = choices.map(({ name, source, upperCase }): EventParts & { id: string; source: string } => {
          const id = upperCase && name < 3 ? names[name]!.toUpperCase() : names[name]!
          return { id, source, type, data: json([source, id.toLowerCase()]) }
        })
        const expected = new Set(made.map(({ source, id }) => identityOf(source, id)))
        let landed = 0
        let given = 0
        for (const delivery of [...deliveries, made.keys()]) {
          const sent = [...delivery].map((index) => made[index % made.length]!)
          const answer = await store.landEvents(entriesOf(sent, size))
          assert.deepEqual([answer.landed + answer.duplicates, answer.conflicts, answer.poison], [sent.length, [], []])
          landed += answer.landed
          given += sent.length
        }
        assert.equal(landed, expected.size, `of ${given} given`)
        const stored = await listAll(store, { type })
        assert.deepEqual(stored.map(({ source, id }) => identityOf(source, id)).sort(), [...expected].sort())
        for (const { eventId, source, id } of stored) assert.ok(keysOf(source, id).includes(eventId))
      }),
      { numRuns: 60 },
    )
  })

  story(
    'when two sources use the same UUID, the key of the second row is the UUIDv5 of source and id',
    async (database, store) => {
      const id = ids.next()
      const first = entryOf([{ id, source: '/first', type: 'a' }])
      const second = entryOf([{ id, source: '/second', type: 'a' }])
      const secondKey = keysOf('/second', id)[1]!

      assert.deepEqual(await store.landEvents([first, second]), counts(2))
      assert.deepEqual(await store.landEvents([second, first, second]), counts(0, 3))

      assert.equal(await database.countRows(), 2)
      const [firstRow, secondRow] = [await database.readRow(id), await database.readRow(secondKey)]
      assert.deepEqual([firstRow?.source, firstRow?.id], ['/first', null])
      assert.deepEqual([secondRow?.source, secondRow?.id], ['/second', id])
    },
  )

  story(
    'an event whose possible keys all belong to other sources is poison, never counted as a duplicate',
    async (_, store) => {
      const id = ids.next()
      await store.landEvents([
        entryOf([
          { id, source: '/other', type: 'a' },
          { id: keysOf('/victim', id)[1]!, source: '/thief', type: 'a' },
          { id: keysOf('/victim', 'order 7')[0]!, source: '/thief', type: 'a' },
        ]),
      ])

      for (const victim of [id, 'order 7']) {
        const answer = await store.landEvents([entryOf([{ id: victim, source: '/victim', type: 'a' }])])
        assert.deepEqual({ ...answer, poison: answer.poison.length }, { ...counts(0), poison: 1 })
      }
    },
  )

  story('a UUID in upper case is the same event as in lower case, and its text is kept', async (database, store) => {
    const id = ids.next()

    await store.landEvents([entryOf([{ id: id.toUpperCase(), type: 'a' }])])
    assert.deepEqual(await store.landEvents([entryOf([{ id, type: 'a' }])]), counts(0, 1))

    assert.equal((await database.readRow(id))?.id, id.toUpperCase())
    assert.equal((await listAll(store))[0]?.id, id.toUpperCase())
  })

  story(
    'an id that is not a UUID is kept as it is; its key is the UUIDv5 of source and id',
    async (database, store) => {
      const texts = [
        '7',
        '__proto__',
        'constructor',
        'Bestellung Nr. 7 ☃',
        '😀'.repeat(60),
        `{${ids.next()}}`,
        `${ids.next()}0`,
      ]

      assert.deepEqual(
        await store.landEvents([entryOf(texts.map((id) => ({ id, source: '/shop', type: 'a' })))]),
        counts(7),
      )

      for (const id of texts) {
        const row = await database.readRow(keysOf('/shop', id)[0]!)
        assert.equal(row?.id, id)
      }
      assert.deepEqual(new Set((await listAll(store)).map(({ id }) => id)), new Set(texts))
    },
  )
}

function columns(story: Story): void {
  story('every field of an event has its column', async (database, store) => {
    const [full, bare] = [ids.next(), ids.next()]
    const attributes = Object.entries({ traceparent: '00-ab', __proto__x: 'x', 'a"b': 'c\\d\n', leer: '' })
    const event = {
      id: full,
      source: '/shop',
      type: 'order.paid',
      subject: 'order/7',
      timeMicros: someMicros - 1_500_001,
      data: Buffer.from('[1, 2]'),
      dataContentType: 'application/vnd.shop+json; charset=utf-8',
      key: 'customer {7}',
      attributes,
    }

    await store.landEvents([
      entryOf([{ id: bare, type: 'b' }, event], { offset: 41, lane: 'high', topic: 'orders', partition: 3, epoch: 9 }),
    ])

    const common = { receivedAtMicros: BigInt(someMicros), topic: 'orders', priority: 3 }
    const stream = { topic: 'orders', partition: 3, lane: 'high', epoch: 9 }
    assert.deepEqual(await database.readRow(full), {
      ...common,
      eventId: full,
      id: null,
      source: '/shop',
      type: 'order.paid',
      subject: 'order/7',
      timeMicros: BigInt(someMicros - 1_500_001),
      key: 'customer {7}',
      data: '[1, 2]',
      dataBytes: null,
      dataContentType: 'application/vnd.shop+json; charset=utf-8',
      attributes: Object.fromEntries(attributes),
      stream,
      logOffset: 42,
    })
    assert.deepEqual(await database.readRow(bare), {
      ...common,
      eventId: bare,
      id: null,
      source: '/',
      type: 'b',
      subject: null,
      timeMicros: BigInt(someMicros),
      key: null,
      data: null,
      dataBytes: null,
      dataContentType: 'application/json',
      attributes: null,
      stream,
      logOffset: 41,
    })
    const [stored] = (await listAll(store)).filter(({ id }) => id === full)
    assert.ok(stored)
    assert.deepEqual({ ...stored, data: textOf(stored) }, {
      eventId: full,
      id: full,
      source: '/shop',
      type: 'order.paid',
      subject: 'order/7',
      timeMicros: someMicros - 1_500_001,
      receivedAtMicros: someMicros,
      topic: 'orders',
      lane: 'high',
      key: 'customer {7}',
      data: '[1, 2]',
      isJson: true,
      dataOmitted: null,
      dataContentType: 'application/vnd.shop+json; charset=utf-8',
      attributes: new Map(attributes),
    } satisfies Omit<StoredEvent, 'data'> & { data: string })
  })

  story('streams that differ in lane, partition, topic or epoch are kept apart', async (database, store) => {
    const places = [0, 1].flatMap((partition) =>
      lanes.flatMap((lane) =>
        [1, 2].flatMap((epoch) => ['a', 'b'].map((topic) => ({ partition, lane, epoch, topic }))),
      ),
    )
    const made = places.map((place) => ({ place, id: ids.next() }))

    await store.landEvents(made.map(({ place, id }) => entryOf([{ id, type: 'a' }], place)))

    for (const { place, id } of made) {
      const row = await database.readRow(id)
      assert.deepEqual([row?.stream, row?.priority, row?.topic], [place, priorityOfLane[place.lane], place.topic])
    }
  })

  story('times keep every microsecond from the year 1 to 9999', async (database, store) => {
    const times = [
      ['0001-01-01T00:00:00Z', -62_135_596_800_000_000n],
      ['1699-12-31T23:59:59.999999Z', -8_520_336_000_000_001n],
      ['1969-12-31T23:59:59.999999Z', -1n],
      ['1970-01-01T00:00:00Z', 0n],
      ['2026-02-28T23:59:59.000001Z', BigInt(Date.UTC(2026, 1, 28, 23, 59, 59)) * 1000n + 1n],
      ['9999-12-31T23:59:59.999999Z', 253_402_300_799_999_999n],
    ] as const
    const made = times.map(([, micros]) => ({ id: ids.next(), micros }))

    await store.landEvents(
      made.map(({ id, micros }) => {
        const entry = entryOf([{ id, type: 'a' }])
        return { ...entry, batch: { ...entry.batch, bytes: withTime(entry.batch.bytes, micros) } }
      }),
    )

    for (const { id, micros } of made) {
      assert.equal((await database.readRow(id))?.timeMicros, micros)
      const [stored] = (await listAll(store)).filter((event) => event.id === id)
      assert.equal(BigInt(stored?.timeMicros ?? 0), micros)
    }
  })

  story('an event with a time outside the range of the column is poison', async (_, store) => {
    const entry = entryOf([{ id: ids.next(), type: 'a' }])
    const answer = await store.landEvents([
      { ...entry, batch: { ...entry.batch, bytes: withTime(entry.batch.bytes, 10n ** 21n) } },
      entryOf([{ id: ids.next(), type: 'a' }]),
    ])
    assert.deepEqual(
      { ...answer, poison: answer.poison.map(({ entry, index }) => [entry, index]) },
      { ...counts(1), poison: [[0, 0]] },
    )
  })

  story('JSON keeps every digit, level and character', async (_, store) => {
    const texts = [
      '12345678901234567890',
      '0.1234567890123456789012345678901234567890',
      `${'['.repeat(limits.maxJsonDepth)}${']'.repeat(limits.maxJsonDepth)}`,
      '"😀 \u{10ffff} ä ￿ \\u001f \\"\\\\ "',
      '{"__proto__": {"admin": true}}',
      'null',
      'false',
      '""',
      '{}',
    ]
    const made = texts.map((text) => ({ id: ids.next(), text }))

    await store.landEvents([entryOf(made.map(({ id, text }) => ({ id, type: 'a', data: Buffer.from(text) })))])

    const stored = new Map((await listAll(store)).map((event) => [event.id, event]))
    for (const { id, text } of made) {
      const event = stored.get(id)
      assert.equal(sha256(event?.data ?? ''), sha256(text), text)
      assert.ok(event?.isJson)
    }
  })

  story('data that is not JSON is kept byte for byte, and absent data stays absent', async (_, store) => {
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const made = [
      { data: every, dataContentType: 'application/octet-stream' },
      { data: Buffer.from('{"a":1}'), dataContentType: 'text/plain' },
      { data: Buffer.from('<a/>'), dataContentType: 'application/json+xml' },
      { data: new Uint8Array(0), dataContentType: 'application/octet-stream' },
      { data: new Uint8Array(0), dataContentType: 'application/json' },
    ].map((parts) => ({ id: ids.next(), type: 'a', ...parts }))

    await store.landEvents([entryOf(made)])

    const stored = new Map((await listAll(store)).map((event) => [event.id, event]))
    for (const { id, data, dataContentType } of made) {
      const event = stored.get(id)
      assert.deepEqual([event?.isJson, event?.dataContentType], [false, dataContentType])
      if (data.length === 0) assert.equal(event?.data, null)
      else assert.equal(sha256(event?.data ?? ''), sha256(data))
    }
  })

  story('an event of the maximum size lands', async (_, store) => {
    const attributes = Array.from(
      { length: limits.maxAttributes },
      (_, index) => [`${index}`.padStart(limits.maxAttributeBytes, 'n'), '☃'.repeat(341)] as const,
    )
    const text = `"${'x'.repeat(limits.maxEventBytes - 200_000)}"`
    const name = 'ü'.repeat(127)
    const event = { id: name, source: name, type: name, key: 'k'.repeat(limits.maxKeyBytes), subject: name }

    const answer = await store.landEvents([entryOf([{ ...event, attributes, data: Buffer.from(text) }])])

    assert.deepEqual(answer, counts(1))
    const [stored] = await listAll(store)
    assert.deepEqual(stored?.attributes, new Map(attributes))
    assert.equal(sha256(stored?.data ?? ''), sha256(text))
    assert.deepEqual([stored?.id, stored?.source, stored?.type, stored?.subject], [name, name, name, name])
  })

  story('names with a special meaning in SQL or JavaScript are stored like any others', async (_, store) => {
    const names = ['__proto__', 'constructor', 'toString', "'); DROP TABLE events; --", '%', '$1', '?1', 'null', '0']
    const events = names.map((name) => ({ id: name, source: name, type: name, subject: name, key: name }))

    await store.landEvents([entryOf(events.map((event) => ({ ...event, attributes: [[event.id, event.id]] })))])

    for (const name of names) {
      const [stored, ...more] = await listAll(store, { type: name, source: name })
      assert.deepEqual([stored?.id, stored?.subject, stored?.key], [name, name, name])
      assert.deepEqual([...(stored?.attributes ?? [])], [[name, name]])
      assert.equal(more.length, 0)
    }
    assert.equal(({} as { admin?: unknown }).admin, undefined)
  })
}

/** The batch of one event, with a time that a JavaScript number cannot represent. */
function withTime(bytes: Uint8Array, micros: bigint): Uint8Array {
  let seconds = micros / 1_000_000n
  if (micros % 1_000_000n < 0n) seconds -= 1n
  const nanos = (micros - seconds * 1_000_000n) * 1000n
  const timestamp = [0x08, ...varint(BigInt.asUintN(64, seconds)), 0x10, ...varint(nanos)]
  const event = Buffer.concat([bytes.subarray(2), Buffer.from([0x2a, timestamp.length, ...timestamp])])
  return Buffer.concat([Buffer.from([0x0a, event.length]), event])
}

function varint(value: bigint): number[] {
  return value < 0x80n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...varint(value >> 7n)]
}

function listing(harness: EventStoreHarness, story: Story): void {
  story('an empty store has one empty page', async (_, store) => {
    assert.deepEqual(await store.listEvents({ limit: 10 }), { events: [], nextCursor: null })
  })

  story('listEvents returns landed events newest first by (receivedAt, eventId)', async (_, store) => {
    // Three lanes that have waited for different times, and producers whose events have the same time of receipt.
    for (let call = 0; call < 10; call++) {
      await store.landEvents(
        lanes.flatMap((lane, lag) =>
          [0, 1, 2].map((entry) =>
            entryOf(
              Array.from({ length: 40 }, () => ({ id: ids.next(), type: 'a' })),
              {
                lane,
                offset: call * 40,
                receivedAtMicros: someMicros + call * 1000 + Math.floor(entry / 2) - lag * 3000,
              },
            ),
          ),
        ),
      )
    }

    for (const limit of [1000, 333]) {
      const listed = await listAll(store, { limit })
      assert.equal(listed.length, 3600)
      assert.deepEqual(
        listed.map(({ eventId }) => eventId),
        newestFirst(listed).map(({ eventId }) => eventId),
      )
    }
  })

  test(`pages repeat no event and skip none that had landed before the first page (${harness.driver})`, async () => {
    const moments = fc.array(fc.nat(4), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(
        moments,
        fc.array(moments, { maxLength: 8 }),
        fc.integer({ min: 1, max: 4 }),
        async (first, later, limit) => {
          const database = await harness.create()
          const store = await database.open()
          try {
            const land = async (received: readonly number[]) => {
              const made = received.map((moment) => ({ eventId: ids.next(), receivedAtMicros: someMicros + moment }))
              await store.landEvents(
                made.map(({ eventId, receivedAtMicros }) =>
                  entryOf([{ id: eventId, type: 'a' }], { receivedAtMicros }),
                ),
              )
              return made
            }
            const before = await land(first)
            const seen: StoredEvent[] = []
            let cursor: string | null | undefined
            for (let page = 0; cursor !== null; page++) {
              const { events, nextCursor } = await store.listEvents({
                limit,
                ...(cursor === undefined ? {} : { cursor }),
              })
              assert.ok(events.length <= limit)
              seen.push(...events)
              cursor = nextCursor
              await land(later[page] ?? [])
            }
            const seenIds = seen.map(({ eventId }) => eventId)
            assert.equal(new Set(seenIds).size, seenIds.length)
            assert.deepEqual(
              seenIds,
              newestFirst(seen).map(({ eventId }) => eventId),
            )
            for (const { eventId } of before) assert.ok(seenIds.includes(eventId))
          } finally {
            await store.close()
            await database.destroy()
          }
        },
      ),
      { numRuns: 20 },
    )
  })

  story('filters by topic, type, source and time return exactly the matching events', async (_, store) => {
    const made = Array.from({ length: 300 }, (_, index) => ({
      id: ids.next(),
      topic: index % 2 === 0 ? 'events' : 'orders',
      type: `t${index % 3}`,
      source: `/s${index % 5}`,
      receivedAtMicros: someMicros + Math.floor(index / 7),
    }))
    await store.landEvents(
      made.map(({ topic, receivedAtMicros, ...event }) => entryOf([event], { topic, receivedAtMicros })),
    )

    const text = (letter: string, count: number) =>
      fc.constantFrom(...Array.from({ length: count }, (_, n) => `${letter}${n}`))
    const moment = fc.integer({ min: -2, max: 45 }).map((micros) => someMicros + micros)
    const query = fc.record(
      {
        topic: fc.constantFrom('events', 'orders', 'none'),
        type: text('t', 4),
        source: text('/s', 6),
        sinceMicros: moment,
        untilMicros: moment,
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(query, fc.integer({ min: 1, max: 100 }), async (asked: Partial<EventQuery>, limit) => {
        const expected = made.filter(
          ({ topic, type, source, receivedAtMicros }) =>
            topic === (asked.topic ?? topic) &&
            type === (asked.type ?? type) &&
            source === (asked.source ?? source) &&
            receivedAtMicros >= (asked.sinceMicros ?? receivedAtMicros) &&
            receivedAtMicros < (asked.untilMicros ?? Number.POSITIVE_INFINITY),
        )
        const listed = await listAll(store, { ...asked, limit })
        assert.deepEqual(
          listed.map(({ id }) => id),
          newestFirst(expected.map((event) => ({ ...event, eventId: event.id }))).map(({ id }) => id),
        )
      }),
      { numRuns: 60 },
    )
  })

  story('a page ends at the event whose data reaches the limit of a page', async (_, store) => {
    const made = Array.from({ length: 5 }, () => ({ id: ids.next(), type: 'a', data: json('x'.repeat(400_000)) }))
    await store.landEvents(entriesOf(made, 1))

    assert.deepEqual((await store.listEvents({ limit: 2 })).events.length, 2)
    const { events } = await store.listEvents({ limit: 10 })

    const bytes = events.reduce((sum, { data }) => sum + data!.length, 0)
    assert.ok(bytes < maxPageBytes + 400_002, `${bytes} bytes`)
    assert.equal((await listAll(store, { limit: 10 })).length, 5)
  })

  story('data that is too long to be shown is left out with the reason, and the page goes on', async (_, store) => {
    const text = json('x'.repeat(maxDataBytes))
    const made = [
      { id: ids.next(), type: 'a', data: json(1) },
      { id: ids.next(), type: 'a', data: text },
      { id: ids.next(), type: 'a', data: text, dataContentType: 'text/plain' },
      { id: ids.next(), type: 'a', data: json(2) },
    ]
    await store.landEvents(entriesOf(made, 1))

    const expected = [
      ['1', null],
      [null, `the data has ${text.length} bytes; at most ${maxDataBytes} are shown: read it from the database`],
      [null, `the data has ${text.length} bytes; at most ${maxDataBytes} are shown: read it from the database`],
      ['2', null],
    ]
    const shown = (events: readonly StoredEvent[]) =>
      made
        .map(({ id }) => events.find((event) => event.id === id))
        .map((event) => [event && textOf(event), event?.dataOmitted])
    assert.deepEqual(shown(await listAll(store)), expected)
    assert.deepEqual(shown((await store.findEvents(made.map(({ id }) => id))).map(({ event }) => event)), expected)
  })

  story('a cursor from elsewhere and a limit outside 1 to 1000 are refused as invalid_event', async (_, store) => {
    await store.landEvents(
      entriesOf(
        [
          { id: ids.next(), type: 'a' },
          { id: ids.next(), type: 'a' },
        ],
        1,
      ),
    )
    const { nextCursor } = await store.listEvents({ limit: 1 })
    assert.ok(nextCursor)

    for (const cursor of [
      '',
      'x',
      'null',
      `${nextCursor}A`,
      nextCursor.slice(1),
      `${nextCursor}=`,
      '😀',
      'A'.repeat(5000),
    ]) {
      await assert.rejects(store.listEvents({ limit: 1, cursor }), { code: 'invalid_event', field: 'cursor' })
    }
    for (const limit of [0, -1, 1001, 1.5, Number.NaN]) {
      await assert.rejects(store.listEvents({ limit }), { code: 'invalid_event', field: 'limit' })
    }
    assert.equal((await store.listEvents({ limit: 1, cursor: nextCursor })).events.length, 1)
  })
}

function finding(story: Story): void {
  story(
    'findEvents returns landed events by their keys, each with its position in the log; keys without a row are left out',
    async (_, store) => {
      const made = Array.from({ length: 5 }, () => ({ id: ids.next(), type: 'a', data: json({ n: 1 }) }))
      await store.landEvents([entryOf(made, { lane: 'high', offset: 40 })])
      assert.deepEqual(await store.findEvents([]), [])

      const found = await store.findEvents([made[3]!.id, ids.next(), made[0]!.id.toUpperCase()])

      const byOffset = found.toSorted((a, b) => a.position.offset - b.position.offset)
      assert.deepEqual(
        byOffset.map(({ event, position }) => [event.id, position.stream.lane, position.epoch, position.offset]),
        [
          [made[0]!.id, 'high', 1, 40],
          [made[3]!.id, 'high', 1, 43],
        ],
      )
      const listed = await listAll(store)
      for (const { event } of found)
        assert.deepEqual(
          event,
          listed.find(({ id }) => id === event.id),
        )
    },
  )

  story(
    'landedStreams returns how far each stream has landed, also after the store is reopened',
    async (database, store) => {
      assert.deepEqual((await store.landedStreams()).streams, [])
      const made = (count: number) => Array.from({ length: count }, () => ({ id: ids.next(), type: 'a' }))
      await store.landEvents([
        entryOf(made(5), { offset: 40 }),
        entryOf(made(2), { lane: 'high', partition: 3, offset: 7 }),
        entryOf(made(1), { epoch: 2, offset: 50 }),
      ])
      await store.landEvents([entryOf(made(3), { offset: 10 })])
      const known = async (from: EventStore) =>
        (await from.landedStreams()).streams
          .map(({ stream: { topic, partition, lane }, epoch, nextOffset }) =>
            [topic, partition, lane, epoch, nextOffset].join(' '),
          )
          .toSorted()
      const landed = ['events 0 normal 1 45', 'events 0 normal 2 51', 'events 3 high 1 9']
      assert.deepEqual(await known(store), landed)
      await store.close()
      const again = await database.open()
      assert.deepEqual(await known(again), landed)
      await again.close()
    },
  )
}

/** @param number makes the letter's texts distinct. */
function letterOf(number: number, parts: Partial<DeadLetter> = {}): DeadLetter {
  return {
    deadLetterId: ids.next(),
    eventId: ids.next(),
    topic: 'events',
    group: 'landing',
    type: `t${number % 2}`,
    source: `/s${number}`,
    code: 'refused_by_store',
    message: `22P02: invalid input: "${number}"`,
    attempts: 1,
    firstFailedAtMicros: someMicros + number,
    deadAtMicros: someMicros + Math.floor(number / 2),
    event: Buffer.from([number, 0, 255]),
    history: [
      { attempt: 1, atMicros: someMicros, code: 'refused_by_store', message: 'no', position: 'events/0/normal@1:7' },
    ],
    redrivenAtMicros: null,
    redrives: 0,
    ...parts,
  }
}

const withoutEvent = ({ event: _, ...summary }: DeadLetter): DeadLetterSummary => summary

async function allLetters(store: EventStore, query: StoredDeadLetterQuery): Promise<DeadLetterSummary[]> {
  const { deadLetters, nextCursor } = await store.listDeadLetters(query)
  assert.ok(deadLetters.length <= query.limit)
  return nextCursor === null
    ? [...deadLetters]
    : [...deadLetters, ...(await allLetters(store, { ...query, cursor: nextCursor }))]
}

function deadLetters(story: Story): void {
  story('readDeadLetters returns letters in the order of the ids, up to a number of bytes', async (_, store) => {
    const letters = [300_000, 1, 400_000, 400_000, 1].map((bytes, n) => letterOf(n, { event: Buffer.alloc(bytes, n) }))
    await store.landDeadLetters(letters)
    const asked = [ids.next(), ...letters.toReversed().map(({ deadLetterId }) => deadLetterId)]

    const read = await store.readDeadLetters(asked)

    assert.deepEqual(
      read.map(({ deadLetterId }) => deadLetterId),
      asked.slice(1, 6),
    )
    const two = letters.slice(2, 4).map(({ deadLetterId }) => deadLetterId)
    const large = await store.readDeadLetters([...two, ...two.map((id) => id.toUpperCase()), letters[1]!.deadLetterId])
    assert.deepEqual([large.length, large[2]?.event.length], [3, 400_000])
  })

  story(
    'a dead letter has one unchanged row, however often it lands, also after the store is reopened',
    async (database, store) => {
      const letters = [letterOf(1), letterOf(2, { eventId: null, type: '', source: '', code: 'corrupt' })]
      await store.landDeadLetters([])
      await store.landDeadLetters(letters)
      await store.landDeadLetters([...letters, { ...letters[0]!, message: 'another' }])
      await store.close()

      const reopened = await database.open()
      try {
        assert.equal(await reopened.countDeadLetters({}), 2)
        for (const letter of letters) {
          const [read] = await reopened.readDeadLetters([letter.deadLetterId])
          assert.deepEqual({ ...read, event: Buffer.from(read!.event) }, letter)
        }
        assert.deepEqual(await reopened.readDeadLetters([ids.next()]), [])
      } finally {
        await reopened.close()
      }
    },
  )

  story('text of a dead letter that the database does not accept is escaped', async (_, store) => {
    const history = [{ attempt: 1, atMicros: 0, code: 'corrupt', message: '\0 \ud800', position: '\0' }]
    const texts = { type: 'a\0b', source: '\ud800', message: "\0'); DROP TABLE dead_letters; --" }
    const letter = letterOf(1, { ...texts, history, event: new Uint8Array(0) })

    assert.deepEqual(await store.landDeadLetters([letter]), [])

    const [read] = await store.readDeadLetters([letter.deadLetterId])
    assert.deepEqual([read?.type, read?.source], ['a\\u0000b', '\ufffd'])
    assert.equal(read?.message, "\\u0000'); DROP TABLE dead_letters; --")
    assert.deepEqual(read?.history[0]?.message, '\\u0000 \ufffd')
  })

  story(
    'a dead letter that the database rejects or skips is returned, and the others land; it lands when it is accepted',
    async (database, store) => {
      await database.refuseLetters()
      const letters = ['fine', 'refused', 'fine', 'skipped', 'fine'].map((type, number) => letterOf(number, { type }))

      const refused = await store.landDeadLetters(letters)

      assert.deepEqual(
        refused.map(({ index }) => index),
        [1, 3],
      )
      for (const { databaseCode } of refused) assert.match(databaseCode, /^\w+$/)
      assert.match(refused[0]!.message, /no such letter/)
      assert.equal(refused[1]!.message, 'a trigger on the table skipped the row')
      assert.equal(await store.countDeadLetters({}), 3)
      await database.acceptLetters()
      assert.deepEqual(await store.landDeadLetters(letters), [])
      assert.deepEqual(await store.landDeadLetters(letters), [])
      assert.equal(await store.countDeadLetters({}), 5)
    },
  )

  story(
    'dead letters are listed newest first by (deadAt, deadLetterId), each once, and filters return exactly the matches',
    async (_, store) => {
      const letters = Array.from({ length: 20 }, (_unused, number) => letterOf(number))
      const odd = letterOf(20, { topic: 'orders', group: 'other', code: 'corrupt', deadAtMicros: someMicros + 100 })
      await store.landDeadLetters([...letters, odd])
      await store.noteRedriven([letters[4]!.deadLetterId], someMicros + 1000)
      const newestFirst = [...letters, odd].sort(
        (a, b) => b.deadAtMicros - a.deadAtMicros || (a.deadLetterId < b.deadLetterId ? 1 : -1),
      )
      const expect = async (filter: Partial<StoredDeadLetterQuery>, matches: (letter: DeadLetter) => boolean) => {
        const expected = newestFirst.filter(matches).map(({ deadLetterId }) => deadLetterId)
        assert.ok(expected.length > 0, 'a filter without a match proves nothing')
        const listed = await allLetters(store, { ...filter, limit: 3 })
        assert.deepEqual(
          listed.map(({ deadLetterId }) => deadLetterId),
          expected,
        )
        assert.equal(await store.countDeadLetters(filter), expected.length)
      }

      await expect({}, () => true)
      await expect({ topic: 'orders' }, (letter) => letter === odd)
      await expect({ group: 'landing' }, (letter) => letter !== odd)
      await expect({ type: 't1', code: 'refused_by_store' }, ({ type }) => type === 't1')
      await expect({ sinceMicros: someMicros + 4, untilMicros: someMicros + 6 }, ({ deadAtMicros }) =>
        [4, 5].includes(deadAtMicros - someMicros),
      )
      await expect({ isRedriven: false }, (letter) => letter !== letters[4])
      await expect({ isRedriven: true }, (letter) => letter === letters[4])
      await expect({ eventIds: [letters[7]!.eventId!] }, (letter) => letter === letters[7])
      await expect({ deadLetterIds: [odd.deadLetterId, letters[1]!.deadLetterId] }, (letter) =>
        [odd, letters[1]].includes(letter),
      )
      assert.deepEqual(await store.listDeadLetters({ deadLetterIds: [], limit: 10 }), {
        deadLetters: [],
        nextCursor: null,
      })
      await assert.rejects(store.listDeadLetters({ limit: 0 }), { code: 'invalid_event', field: 'limit' })
      await assert.rejects(store.listDeadLetters({ limit: 1, cursor: 'x' }), { code: 'invalid_event', field: 'cursor' })
    },
  )

  story(
    'when the same id dies again, the letter with the later deadAt replaces the content and is open again',
    async (_, store) => {
      const first = letterOf(2)
      await store.landDeadLetters([first])
      await store.noteRedriven([first.deadLetterId], someMicros + 5)
      const later = { ...first, message: 'again', deadAtMicros: someMicros + 9, event: Buffer.from([7]) }

      await store.landDeadLetters([{ ...first, deadAtMicros: first.deadAtMicros - 1 }, later])

      const [read] = await store.readDeadLetters([first.deadLetterId])
      assert.deepEqual({ ...read, event: Buffer.from(read!.event) }, { ...later, redrives: 1 })
    },
  )

  story('groupDeadLetters groups dead letters by cause, the most frequent cause first', async (_, store) => {
    const same = Array.from({ length: 3 }, (_unused, number) => letterOf(number * 2))
    await store.landDeadLetters([letterOf(9, { message: 'whole' }), ...same])

    const causes = await store.groupDeadLetters({ group: 'landing' })

    assert.deepEqual(
      causes.map(({ type, message, deadLetters }) => [type, message, deadLetters]),
      [
        ['t0', '22P02: invalid input:', 3],
        ['t1', 'whole', 1],
      ],
    )
    assert.deepEqual([causes[0]?.firstDeadAtMicros, causes[0]?.lastDeadAtMicros], [someMicros, someMicros + 2])
    assert.deepEqual(await store.groupDeadLetters({ type: 'other' }), [])
  })

  story('noteRedriven records the time and increments redrives, and a deleted letter is gone', async (_, store) => {
    const letters = [letterOf(1), letterOf(2)]
    const [first, second] = letters.map(({ deadLetterId }) => deadLetterId) as [string, string]
    await store.landDeadLetters(letters)

    await store.noteRedriven([first, ids.next()], someMicros + 7)
    await store.noteRedriven([first], someMicros + 8)

    const [read] = await store.readDeadLetters([first])
    assert.deepEqual([read?.redrivenAtMicros, read?.redrives], [someMicros + 8, 2])
    assert.deepEqual((await allLetters(store, { deadLetterIds: [second], limit: 1 }))[0], withoutEvent(letters[1]!))
    assert.equal(await store.deleteDeadLetters([first, ids.next()]), 1)
    assert.equal(await store.deleteDeadLetters([first]), 0)
    assert.deepEqual(await store.readDeadLetters([first]), [])
    assert.equal(await store.countDeadLetters({}), 1)
  })
}

function agents(story: Story): void {
  const agent = (agentId: string, lastSeenMicros: number, load: number): StoredAgent => ({
    ...{ agentId, lastSeenMicros: someMicros + lastSeenMicros, metadata: JSON.stringify({ load }) },
  })
  const listed = async (store: EventStore) => {
    const { agents, hasMore } = await store.listAgents({ from: '', limit: 1000 })
    assert.equal(hasMore, false)
    const rowOf = (row: StoredAgent) => [row.agentId, row.lastSeenMicros - someMicros, JSON.parse(row.metadata).load]
    return agents.map(rowOf)
  }

  story('an agent has its newest heartbeat, whatever the order of the calls, and keeps it', async (database, store) => {
    assert.deepEqual(await store.upsertAgents([]), [])
    assert.deepEqual(await store.upsertAgents([agent('b', 1, 10), agent('a', 5, 50)]), [])
    const newer = [agent('a', 4, 40), agent('b', 2, 20), agent('c', 3, 30)]
    const expected = [
      ['a', 5, 50],
      ['b', 2, 20],
      ['c', 3, 30],
    ]
    for (let time = 0; time < 2; time++) {
      assert.deepEqual(await store.upsertAgents(newer), [])
      assert.deepEqual(await listed(store), expected)
    }
    const other = await database.openInProcess()
    assert.deepEqual(await listed(other.store), expected)
    await other.store.upsertAgents([agent('a', 6, 60)])
    await other.kill()
    assert.deepEqual((await listed(store))[0], ['a', 6, 60])
  })

  story('an agent that the database refuses keeps its row, and the others are stored', async (_database, store) => {
    await store.upsertAgents([agent('b', 1, 10)])
    const bad = { ...agent('b', 2, 20), metadata: '{"load":' }
    const refused = await store.upsertAgents([agent('a', 2, 20), bad, agent('c', 2, 20)])
    assert.deepEqual(
      refused.map(({ index }) => index),
      [1],
    )
    assert.match(refused[0]!.databaseCode, /^\w{3,5}$/)
    assert.notEqual(refused[0]!.message, '')
    assert.deepEqual(await listed(store), [
      ['a', 2, 20],
      ['b', 1, 10],
      ['c', 2, 20],
    ])
  })

  story('agents are listed by the bytes of their ids, in pages of bounded size', async (_database, store) => {
    const ids = ['Z', 'a', 'a-1', 'a1', 'b', 'ä', '\uffee', '😀']
    await store.upsertAgents(ids.toReversed().map((agentId) => agent(agentId, 1, 1)))
    const found: string[] = []
    for (let hasMore = true; hasMore; ) {
      const page = await store.listAgents({ from: found.length === 0 ? '' : `${found.at(-1)}\u0001`, limit: 3 })
      assert.equal(page.agents.length, Math.min(3, ids.length - found.length))
      found.push(...page.agents.map(({ agentId }) => agentId))
      hasMore = page.hasMore
    }
    assert.deepEqual(found, ids)

    const large = { text: 'x'.repeat(maxPageBytes / 2) }
    await store.upsertAgents(ids.map((agentId) => ({ ...agent(agentId, 2, 1), metadata: JSON.stringify(large) })))
    const page = await store.listAgents({ from: 'a', limit: 1000 })
    assert.deepEqual([page.agents.map(({ agentId }) => agentId), page.hasMore], [['a', 'a-1'], true])
  })
}

function files(story: Story): void {
  const file = {
    fileId: ids.next(),
    filename: '../%_\u{1f600} "a".txt',
    contentType: 'text/plain; charset=utf-8',
    size: 2 ** 40,
    sha256: sha256('a file'),
    receivedAtMicros: someMicros,
    analysis: null,
  }

  story('file returns what saveFile has stored, null for an unknown id', async (database, store) => {
    await store.saveFile(file)

    assert.deepEqual(await store.file(file.fileId), file)
    assert.equal(await store.file(ids.next()), null)
    const again = await database.open()
    assert.deepEqual(await again.file(file.fileId), file)
    await again.close()
  })

  story('saveFile replaces what is stored under the id', async (_database, store) => {
    await store.saveFile(file)
    const other = { ...file, filename: 'b', contentType: 'b/b', size: 0, sha256: sha256('b'), receivedAtMicros: 1 }

    await store.saveFile(other)

    assert.deepEqual(await store.file(file.fileId), other)
  })

  story('setAnalysis sets the analysis of a file, and of no other', async (_database, store) => {
    const neighbour = { ...file, fileId: ids.next() }
    for (const each of [file, neighbour]) await store.saveFile(each)

    await store.setAnalysis(file.fileId, '{"words":1}')
    await store.setAnalysis(file.fileId, '{"words":12345678901234567890}')
    await store.setAnalysis(ids.next(), '{}')

    const analysis = (await store.file(file.fileId))?.analysis ?? ''
    assert.equal(analysis.replaceAll(' ', ''), '{"words":12345678901234567890}')
    assert.deepEqual(await store.file(neighbour.fileId), neighbour)
  })
}

function apiKeys(story: Story): void {
  const key = (name: string, keyId: string, changed: Partial<StoredApiKey> = {}): StoredApiKey => ({
    ...{ keyId, name, hash: new Uint8Array(createHash('sha256').update(keyId).digest()), scopes: ['read'] },
    ...{ topics: null, types: null, ratePerSecond: null },
    ...{ createdAtMicros: someMicros, expiresAtMicros: null, revokedAtMicros: null, lastUsedAtMicros: null },
    ...changed,
  })
  const listed = async (store: EventStore) => await store.listApiKeys({ after: null, limit: 1000 })
  const toPlain = (keys: readonly StoredApiKey[]) => keys.map(({ hash, ...rest }) => ({ ...rest, hash: [...hash] }))
  const namesOf = (keys: readonly StoredApiKey[]) => keys.map(({ name, keyId }) => `${name}/${keyId}`)

  story('a key is listed as it was inserted, in the order of the bytes of names and ids', async (database, store) => {
    const whole = {
      ...{ scopes: ['publish', 'admin'] as const, topics: ['orders', 'eu.*'], types: ['order.**'] },
      ...{ ratePerSecond: 1_000_000, expiresAtMicros: someMicros + 1 },
    }
    const inserted = [key('b', '1'), key('a', 'b'), key('a', 'B', whole), key('Z', '2')]
    for (const each of inserted) assert.equal(await store.insertApiKey(each, false), 'inserted')

    const expected = [inserted[3]!, inserted[2]!, inserted[1]!, inserted[0]!]
    assert.deepEqual(toPlain(await listed(store)), toPlain(expected))
    const again = await database.open()
    assert.deepEqual(toPlain(await listed(again)), toPlain(expected))
    await again.close()
    const page = await store.listApiKeys({ after: { name: 'a', keyId: 'B' }, limit: 1 })
    assert.deepEqual(namesOf(page), ['a/b'])
  })

  story('an id has one key, and a name two that have not ended', async (_database, store) => {
    const insert = (each: StoredApiKey) => store.insertApiKey(each, false)
    assert.equal(await insert(key('a', '1', { expiresAtMicros: someMicros + 10 })), 'inserted')
    assert.equal(await insert(key('a', '2')), 'inserted')
    assert.equal(await insert(key('b', '2')), 'id_taken')
    const third = key('a', '3', { createdAtMicros: someMicros + 9 })
    assert.equal(await insert(third), 'name_taken')
    assert.equal(await insert({ ...third, createdAtMicros: someMicros + 10 }), 'inserted')
    assert.equal(await store.revokeApiKey('2', someMicros), true)
    assert.equal(await insert(key('a', '4')), 'name_taken')
    assert.equal(await insert(key('a', '4', { createdAtMicros: someMicros + 10 })), 'inserted')
  })

  story('one of many that insert the first admin key wins', async (database, store, t) => {
    const admin = (keyId: string, changed: Partial<StoredApiKey> = {}) =>
      key('admin', keyId, { scopes: ['read', 'admin'], ...changed })
    await store.insertApiKey(key('a', 'no-admin'), false)
    await store.insertApiKey(admin('ended', { expiresAtMicros: someMicros }), false)
    const other = await database.openInProcess()
    cleanup(t, () => other.kill())
    const stores = [store, other.store]
    // So that every connection is open, and the inserts overlap.
    await Promise.all([...stores, ...stores].map((each) => each.revokeApiKey('unknown', someMicros)))
    for (let round = 0; round < 5; round++) {
      const ids = Array.from({ length: 12 }, (_unused, number) => `${round}-${number}`)

      const insertions = await Promise.all(
        ids.map((keyId, number) => stores[number % 2]!.insertApiKey(admin(keyId), true)),
      )

      assert.equal(insertions.filter((each) => each === 'inserted').length, 1)
      assert.equal(insertions.filter((each) => each === 'admin_exists').length, ids.length - 1)
      await store.revokeApiKey(ids[insertions.indexOf('inserted')]!, someMicros)
    }
    assert.equal(await store.insertApiKey(admin('next'), true), 'inserted')
    await other.kill()
    assert.ok(namesOf(await listed(store)).includes('admin/next'))
  })

  story('a key is revoked once, and its last use is the latest', async (_database, store) => {
    for (const keyId of ['1', '2']) await store.insertApiKey(key(keyId, keyId), false)

    assert.equal(await store.revokeApiKey('1', someMicros + 1), true)
    assert.equal(await store.revokeApiKey('1', someMicros + 2), true)
    assert.equal(await store.revokeApiKey('3', someMicros), false)
    const use = (keyId: string, micros: number) => ({ keyId, lastUsedAtMicros: someMicros + micros })
    await store.noteApiKeysUsed([use('1', 5), use('2', 6), use('3', 7)])
    await store.noteApiKeysUsed([use('2', 4), use('1', 8)])
    await store.noteApiKeysUsed([])

    const [first, second] = await listed(store)
    assert.deepEqual([first!.revokedAtMicros, first!.lastUsedAtMicros], [someMicros + 1, someMicros + 8])
    assert.deepEqual([second!.revokedAtMicros, second!.lastUsedAtMicros], [null, someMicros + 6])
  })

  story('a key that ended long ago is deleted when the next one is inserted', async (_database, store) => {
    await store.insertApiKey(key('a', 'expired', { expiresAtMicros: someMicros }), false)
    await store.insertApiKey(key('a', 'stays'), false)
    await store.insertApiKey(key('b', 'revoked', { expiresAtMicros: someMicros + 2 ** 50 }), false)
    await store.revokeApiKey('revoked', someMicros)
    const kept = someMicros + keyLimits.endedKeptMs * 1000

    await store.insertApiKey(key('c', '1', { createdAtMicros: kept }), false)
    assert.equal((await listed(store)).length, 4)
    await store.insertApiKey(key('c', '2', { createdAtMicros: kept + 1 }), false)
    assert.deepEqual(namesOf(await listed(store)), ['a/stays', 'c/1', 'c/2'])
  })
}

function observing(story: Story): void {
  story('observe reports an empty store as empty', async (_, store) => {
    const { eventsBytes, deadLetters, recent, statements } = await store.observe()

    assert.ok(eventsBytes !== null && eventsBytes >= 0)
    assert.deepEqual(deadLetters, { open: 0, redriven: 0, more: false })
    assert.deepEqual(recent, { events: 0, types: [] })
    assert.equal(statements, null)
  })

  story(
    'observe returns the types of the newest 1,000 events, the most frequent first, at most ten',
    async (_, store) => {
      const ofType = (type: string, events: number) => Array.from({ length: events }, () => ({ id: ids.next(), type }))
      await store.landEvents([entryOf(ofType('old', 700))])
      const frequent = [...ofType('a', 300), ...ofType('b', 500)]
      const rare = Array.from({ length: 12 }, (_unused, number) => `rare-${String(number).padStart(2, '0')}`)
      const later = { receivedAtMicros: someMicros + 1, offset: 700 }
      await store.landEvents([entryOf([...frequent, ...rare.flatMap((type) => ofType(type, 1))], later)])

      const { eventsBytes, recent } = await store.observe()

      assert.deepEqual(recent, {
        events: 1000,
        types: [
          { type: 'b', events: 500 },
          { type: 'a', events: 300 },
          { type: 'old', events: 188 },
          ...rare.slice(0, 7).map((type) => ({ type, events: 1 })),
        ],
      })
      assert.ok(eventsBytes !== null && eventsBytes > 1512 * 30, `1512 events take ${eventsBytes} bytes`)
    },
  )

  story('observe counts open and redriven dead letters separately', async (_, store) => {
    const letters = Array.from({ length: 5 }, (_unused, number) => letterOf(number))
    await store.landDeadLetters(letters)
    await store.noteRedriven([letters[0]!.deadLetterId, letters[3]!.deadLetterId], someMicros + 10)

    assert.deepEqual((await store.observe()).deadLetters, { open: 3, redriven: 2, more: false })
  })
}

function lifetime(story: Story): void {
  story('a reopened store has its rows and lands more', async (database, store) => {
    const events = Array.from({ length: 30 }, () => ({ id: ids.next(), type: 'a' }))
    await store.landEvents(entriesOf(events.slice(0, 20), 10))
    await store.close()

    const again = await database.open()
    try {
      assert.deepEqual(await again.landEvents(entriesOf(events, 10)), counts(10, 20))
      assert.equal((await listAll(again)).length, 30)
    } finally {
      await again.close()
    }
  })

  story(
    'acknowledged rows survive a crash; of the other calls, either all rows exist or none',
    async (database, store, t) => {
      await store.close()
      const crashing = await database.openInProcess()
      cleanup(t, () => crashing.kill())
      const calls = Array.from({ length: 60 }, (_, call) =>
        Array.from({ length: 50 }, () => ({ id: ids.next(), type: `call-${call}`, data: json('x'.repeat(300)) })),
      )
      const acknowledged = new Set<number>()
      const fifth = Promise.withResolvers<void>()
      const answers = calls.map((events, call) =>
        crashing.store.landEvents(entriesOf(events, 7)).then(
          () => {
            acknowledged.add(call)
            if (acknowledged.size === 5) fifth.resolve()
          },
          () => {},
        ),
      )
      await fifth.promise
      await crashing.kill()
      await Promise.all(answers)

      const again = await database.open()
      try {
        const rowsOfCall = new Map<string, number>()
        for (const { type } of await listAll(again)) rowsOfCall.set(type, (rowsOfCall.get(type) ?? 0) + 1)
        for (const call of calls.keys()) {
          const rows = rowsOfCall.get(`call-${call}`) ?? 0
          if (acknowledged.has(call)) assert.equal(rows, 50)
          else assert.ok(rows === 0 || rows === 50, `call ${call} has ${rows} of its 50 rows`)
        }
        for (const events of calls) await again.landEvents(entriesOf(events, 11))
        assert.equal(await database.countRows(), 3000)
        assert.equal((await listAll(again)).length, 3000)
      } finally {
        await again.close()
      }
    },
  )

  story('close finishes the running calls, is idempotent, and later calls are refused', async (database, store) => {
    const landing = store.landEvents(entriesOf([{ id: ids.next(), type: 'a' }], 1))
    const closing = store.close()
    assert.equal(store.close(), closing)
    await closing

    assert.deepEqual(await landing, counts(1))
    await assert.rejects(store.landEvents([entryOf([{ id: ids.next(), type: 'a' }])]), { code: 'unavailable' })
    await assert.rejects(store.listEvents({ limit: 1 }), { code: 'unavailable' })
    assert.equal(await database.countRows(), 1)
  })

  story(
    "describe returns the driver's name, whether the database responds, and if not, why; it never rejects",
    async (_, store) => {
      const { driver, up } = await store.describe()
      assert.deepEqual([typeof driver, up], ['string', true])
      await store.close()
      const closed = { driver, up: false, problem: 'the event store is closed', code: 'unavailable', warnings: [] }
      assert.deepEqual(await store.describe(), closed)
    },
  )

  story('failed stays pending while the store works', async (_, store) => {
    let failed = false
    store.failed.then(() => {
      failed = true
    })
    await store.landEvents([entryOf([{ id: ids.next(), type: 'a' }])])
    await store.close()
    assert.equal(failed, false)
  })
}
