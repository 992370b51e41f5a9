import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MillraceError } from '../errors.ts'
import type { EventInput } from '../event/event-input.ts'
import { EventLines } from './event-lines.ts'

/** The events of a file, and the error messages of its invalid lines. */
async function readAll(
  chunks: readonly Buffer[],
  maxEvents = Number.POSITIVE_INFINITY,
): Promise<(EventInput | string)[]> {
  const stream = async function* () {
    yield* chunks
  }
  const lines = new EventLines(stream(), maxEvents)
  const found: (EventInput | string)[] = []
  while (await lines.fill()) {
    try {
      const event = lines.take()
      if (event !== null)
        found.push({ ...event, data: Buffer.from((event.data as Uint8Array | undefined) ?? []).toString() })
    } catch (error) {
      assert.ok(error instanceof MillraceError && error.code === 'invalid_event')
      found.push(error.message)
    }
  }
  return found
}

const types = (found: readonly (EventInput | string)[]) =>
  found.map((each) => (typeof each === 'string' ? each : each.type))

test('each line is one event, with its data byte for byte; blank lines and a missing final line feed are accepted', async () => {
  const text = `{"type":"a","id":"x","time":"2026-01-02T03:04:05Z","data": 12345678901234567890 ,"priority":"high"}\r\n\n  \n{"type":"b"}`
  const [first, second, ...rest] = await readAll([Buffer.from(text)])

  assert.ok(typeof first === 'object' && typeof second === 'object')
  assert.deepEqual([first.type, first.id, first.lane, first.data], ['a', 'x', 'high', '12345678901234567890'])
  assert.equal(first.timeMicros, Date.UTC(2026, 0, 2, 3, 4, 5) * 1000)
  assert.equal(second.type, 'b')
  assert.deepEqual(rest, [])
})

test('an invalid line is reported with its number, and the lines around it are read', async () => {
  const lines = [
    '{"type":"good"}',
    '{"type":"bad",}',
    '',
    'hello',
    '{"type":"odd","colour":1}',
    '{"type":"more"} {"type":"than one"}',
    '\ufeff{"type":"marked"}',
    '{"type":"cut',
    '{"type":"good"}',
  ]
  const found = types(await readAll([Buffer.from(lines.join('\n'))]))

  assert.deepEqual([found[0], found[7]], ['good', 'good'])
  assert.match(found[1]!, /^line 2: is not valid JSON/)
  assert.match(found[2]!, /^line 4: is not a JSON object/)
  assert.match(found[3]!, /^line 5: .*"colour" is unknown/)
  assert.match(found[4]!, /^line 6: has more text after its event/)
  assert.match(found[5]!, /^line 7: begins with a byte order mark: leave it out/)
  assert.match(found[6]!, /^line 8: is not valid JSON/)
  assert.equal(found.length, 8)
})

test('a line above 2 MiB is refused without being buffered, and the next one is read', async () => {
  const long = Buffer.from(`{"type":"long","data":"${'x'.repeat(5 * 1024 * 1024)}"}\n{"type":"next"}\n`)
  const chunks = Array.from({ length: 100 }, (_, index) => {
    const size = Math.ceil(long.length / 100)
    return long.subarray(index * size, (index + 1) * size)
  })

  assert.deepEqual(types(await readAll(chunks)), ['line 1: is longer than 2097152 bytes', 'next'])
})

test('at most maxEvents events are read', async () => {
  const text = '{"type":"a"}\n{"type":"b"}\n{"type":"c"}\n'
  assert.deepEqual(types(await readAll([Buffer.from(text)], 2)), ['a', 'b'])
})

test('chunk boundaries do not change what is read', async () => {
  const line = fc.constantFrom('{"type":"a"}', '{"type":"b","data":[1,{"c":"\\n"}]}', '', '  ', 'x', '{"type":')
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.boolean(), fc.array(fc.nat(200)), async (lines, ends, cuts) => {
      const whole = Buffer.from(lines.join('\n') + (ends ? '\n' : ''))
      const bounds = [0, ...cuts.map((cut) => cut % (whole.length + 1)).toSorted((a, b) => a - b), whole.length]
      const chunks = bounds.slice(1).map((end, index) => whole.subarray(bounds[index], end))

      assert.deepEqual(await readAll(chunks), await readAll([whole]))
    }),
  )
})

test('the error for an unreadable file names it', async () => {
  const lines = EventLines.open('/no/such/file.ndjson', 1)
  await assert.rejects(lines.fill(), /cannot read \/no\/such\/file\.ndjson/)
})
