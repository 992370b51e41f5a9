import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { Books } from './books.ts'

test('a number that a flipped bit has made a text of the same digits is read as the number', (t) => {
  const database = new DatabaseSync(':memory:')
  t.after(() => database.close())
  // Columns without a type keep what they get; those of the log are STRICT, but SQLite checks that only when it writes.
  database.exec('CREATE TABLE attempts (group_number, stream, first_offset, attempt, crc)')
  const { attempts } = new Books(database, 'log.db')
  const row = { groupNumber: 1, stream: 2, firstOffset: 30, attempt: 4 }
  attempts.save(row)
  database.exec('UPDATE attempts SET attempt = CAST(attempt AS TEXT)')

  for (const [read] of [attempts.load(), attempts.loadReadable()]) assert.partialDeepStrictEqual({ ...read }, row)
})
