import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeBatch, encodeBatch } from '../event/record-batch.ts'
import { toHandledEvent } from './handled-event.ts'

test('a handler gets the time of an event to the millisecond, however far from now, without rounding it up', () => {
  for (const [micros, time] of [
    [-62_135_596_799_999_999n, '0001-01-01T00:00:00.000Z'],
    [-9_028_776_599_345_679n, '1683-11-21T06:30:00.654Z'],
    [-1, '1969-12-31T23:59:59.999Z'],
    [9_007_243_200_999_999n, '2255-06-06T12:00:00.999Z'],
    [253_402_300_799_999_999n, '9999-12-31T23:59:59.999Z'],
  ] as const) {
    const [event] = decodeBatch(encodeBatch([{ id: 'a', type: 'far', timeMicros: micros }]))
    const handled = toHandledEvent(event!, 1_795_253_400_123_999)
    assert.equal(handled.time.toISOString(), time)
    assert.equal(handled.receivedAt.toISOString(), '2026-11-21T09:30:00.123Z')
  }
})
