import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LogMark, readLogMark } from './log-mark.ts'

function temporaryPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-mark-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return join(directory, 'log.mark')
}

test('a mark is read back as it was written, including numbers over 32 bits', (t) => {
  const path = temporaryPath(t)
  assert.equal(readLogMark(path), 'absent')
  const mark = new LogMark(path)
  mark.write({ appendNumber: 7, epoch: 1 })
  mark.write({ appendNumber: 2 ** 40 + 5, epoch: 3 })
  mark.flush()
  mark.close()
  assert.deepEqual(readLogMark(path), { appendNumber: 2 ** 40 + 5, epoch: 3 })
  assert.equal(readFileSync(path).length, 16)
})

test('the state of a new mark after a power loss is not damage', (t) => {
  const path = temporaryPath(t)
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(16)]) {
    writeFileSync(path, bytes)
    assert.equal(readLogMark(path), 'unwritten')
  }
})

test('every flipped bit and every wrong length of a mark is damage', (t) => {
  const path = temporaryPath(t)
  const mark = new LogMark(path)
  mark.write({ appendNumber: 1234, epoch: 1 })
  mark.close()
  const bytes = readFileSync(path)
  for (let bit = 0; bit < 128; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    writeFileSync(path, flipped)
    assert.equal(readLogMark(path), 'damaged', `bit ${bit}`)
  }
  for (const length of [1, 15, 17]) {
    writeFileSync(path, Buffer.concat([bytes, bytes]).subarray(0, length))
    assert.equal(readLogMark(path), 'damaged', `${length} bytes`)
  }
})
