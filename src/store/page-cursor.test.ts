import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { comparePlaces, formatCursor, type PagePlace, parseCursor, placeBefore, topPlace } from './page-cursor.ts'

const anyPlace = fc.record({
  receivedAtMicros: fc.maxSafeInteger(),
  eventId: fc.oneof(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.constant(new Uint8Array(0))),
}) satisfies fc.Arbitrary<PagePlace>

test('parseCursor returns the place that formatCursor was given', () => {
  fc.assert(fc.property(anyPlace, (place) => assert.deepEqual(parseCursor(formatCursor(place)), { ...place })))
})

test('every text that is not exactly a cursor is rejected as invalid_event', () => {
  const cursor = fc.tuple(anyPlace, fc.nat(40), fc.constantFrom('', 'A', '=', ' ', '%', '€'))
  const nearCursor = cursor.map(
    ([place, at, text]) => formatCursor(place).slice(0, at) + text + formatCursor(place).slice(at + 1),
  )
  fc.assert(
    fc.property(fc.oneof(nearCursor, fc.base64String(), fc.string()), (text) => {
      try {
        assert.equal(formatCursor(parseCursor(text)), text)
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, 'invalid_event')
      }
    }),
    { numRuns: 1000 },
  )
})

test('places are ordered newest first, and placeBefore(time) is below every event received at that time', () => {
  const at = (receivedAtMicros: number, byte: number): PagePlace => ({
    receivedAtMicros,
    eventId: new Uint8Array(16).fill(byte),
  })
  const places = [topPlace, at(8, 0), at(7, 255), at(7, 0), placeBefore(7), at(6, 255), placeBefore(6)]
  for (let index = 1; index < places.length; index++) {
    assert.ok(comparePlaces(places[index - 1]!, places[index]!) < 0, `place ${index}`)
    assert.equal(comparePlaces(places[index]!, places[index]!), 0)
  }
})
