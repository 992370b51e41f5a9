import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type SeededRandom, seededRandom } from '../../test/support/random.ts'
import type { Event } from '../event/event.ts'
import { decodeEvent, EventReader, encodeBatch } from '../event/record-batch.ts'
import { type Filtered, FilterIndex } from './filter-index.ts'
import { LiveFilter } from './live-filter.ts'

type Conditions = ConstructorParameters<typeof LiveFilter>[0]

interface Wanted extends Filtered {
  readonly conditions: Conditions
}

const types = ['a', 'a.b', 'a.b.c', 'a.c', 'b', 'b.a']
const globs = [...types, 'a.*', 'a.**', '*', '*.a', '**', 'a.*.c']
const sources = ['', '/', '/shop', '/shöp']
const subjects = ['', 'o', 'or', 'order', 'order/1', 'order/12', 'ö']
const names = ['tenant', 'kind', 't']
const values = ['', 'a', 'enant', 'ä']

function some<T>(random: SeededRandom, from: readonly T[], most: number): T[] {
  return random.next() < 0.5 ? [] : Array.from({ length: random.between(1, most) }, () => random.pick(from))
}

function conditionsOf(random: SeededRandom): Conditions {
  return {
    types: some(random, random.next() < 0.5 ? types : globs, 3),
    sources: some(random, sources, 3),
    subjects: some(random, subjects, 3),
    attributes: new Map(some(random, names, 2).map((name) => [name, random.pick(values)])),
  }
}

function wantedOf(conditions: Conditions): Wanted {
  return { conditions, filter: new LiveFilter(conditions) }
}

function matchesNaively({ types, sources, subjects, attributes }: Conditions, event: Event): boolean {
  const ofSegment: Record<string, string> = { '*': '[^.]+', '**': '.+' }
  const asPattern = (glob: string) => {
    const segments = glob.split('.').map((segment) => ofSegment[segment] ?? segment)
    return new RegExp(`^${segments.join('\\.')}$`)
  }
  return (
    (types.length === 0 || types.some((glob) => asPattern(glob).test(event.type))) &&
    (sources.length === 0 || sources.some((source) => (source || '/') === (event.source || '/'))) &&
    (subjects.length === 0 || subjects.some((prefix) => event.subject.startsWith(prefix))) &&
    [...attributes].every(([name, value]) => event.attributes.get(name) === value)
  )
}

test('the index finds exactly the filters that match, each once, while filters come and go', (t) => {
  const random = seededRandom(t)
  const index = new FilterIndex<Wanted>()
  const present = new Set<Wanted>()
  const found: Wanted[] = []
  for (let round = 0; round < 200; round++) {
    for (let change = 0; change < 5; change++) {
      const old = random.pick([...present, null])
      if (old !== null && random.next() < 0.4) {
        index.remove(old)
        present.delete(old)
        continue
      }
      const wanted = wantedOf(conditionsOf(random))
      index.add(wanted)
      present.add(wanted)
    }
    const events = Array.from({ length: 10 }, () => ({
      type: random.pick(types),
      source: random.pick(sources),
      subject: random.pick(subjects),
      attributes: some(random, names, 3).map((name) => [name, random.pick(values)] as const),
    }))
    const reader = new EventReader().reset(encodeBatch(events))
    while (reader.next()) {
      index.find(reader.bytes, reader.fields, found)
      const event = decodeEvent(reader.bytes, reader.fields)
      const expected = [...present].filter(({ conditions }) => matchesNaively(conditions, event))
      assert.equal(found.length, expected.length)
      assert.deepEqual(new Set(found), new Set(expected))
    }
  }
})

test('the same conditions in another order, or with what they include already, are one filter', () => {
  const keyOf = (conditions: Partial<Conditions>) =>
    new LiveFilter({ types: [], sources: [], subjects: [], attributes: new Map(), ...conditions }).key
  assert.equal(keyOf({ types: ['a', 'b'], subjects: ['x', 'xy'] }), keyOf({ types: ['b', 'a', 'a'], subjects: ['x'] }))
  assert.equal(keyOf({ types: ['**', 'a'], subjects: ['', 'x'] }), keyOf({}))
  assert.equal(keyOf({ sources: [''] }), keyOf({ sources: ['/'] }))
  assert.notEqual(keyOf({ types: ['a'] }), keyOf({ sources: ['a'] }))
  const both = [
    ['a', '1'],
    ['b', '2'],
  ] as const
  assert.equal(keyOf({ attributes: new Map(both) }), keyOf({ attributes: new Map(both.toReversed()) }))
})

test('an event that nobody wants verifies no filter, however many there are', () => {
  let verified = 0
  class CountingFilter extends LiveFilter {
    override matches(...given: Parameters<LiveFilter['matches']>): boolean {
      verified++
      return super.matches(...given)
    }
  }
  const index = new FilterIndex<Filtered>()
  const none = { types: [], sources: [], subjects: [] }
  // All share one attribute; each has something of its own besides.
  for (let number = 0; number < 1000; number++) {
    const attributes = new Map([['region', 'eu']])
    index.add({
      filter: new CountingFilter({ ...none, attributes: new Map([...attributes, ['device', `${number}`]]) }),
    })
    index.add({ filter: new CountingFilter({ ...none, attributes, sources: [`/${number}`] }) })
    index.add({ filter: new CountingFilter({ ...none, attributes, subjects: [`order/${number}/`] }) })
    index.add({ filter: new CountingFilter({ ...none, attributes, types: [`order.${number}`] }) })
  }
  const attributes = [
    ['region', 'eu'],
    ['device', 'new'],
  ] as const
  const reader = new EventReader().reset(
    encodeBatch([{ type: 'order.new', source: '/new', subject: 'order/new/1', attributes }]),
  )
  assert.ok(reader.next())
  const found: Filtered[] = []
  index.find(reader.bytes, reader.fields, found)
  assert.equal(found.length, 0)
  // The first of all stands under the attribute that the others share.
  assert.ok(verified <= 1, `${verified} filters were verified`)
})
