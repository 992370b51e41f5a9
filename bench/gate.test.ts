import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeBatch } from '../src/event/record-batch.ts'
import { loggedNumbersProblems, storedNumbersProblems, storedRowsProblems } from './gate.ts'
import { expectedRows, MessageFactory, payload } from './messages.ts'
import { withTempDirectory } from './temp-directory.ts'

const rows = 50

/** The gate's problems for a store with the rows of `rows` events after the SQL `change`. */
function problemsAfter(
  change: string,
  gate = (directory: string) => storedNumbersProblems(directory, expectedRows(rows)),
) {
  return withTempDirectory(async (directory) => {
    const database = new DatabaseSync(`${directory}/store.db`)
    database.exec('BEGIN; CREATE TABLE events (event_id INTEGER PRIMARY KEY, data TEXT NOT NULL)')
    const insert = database.prepare('INSERT INTO events (data) VALUES (?)')
    for (let number = 1; number <= rows; number++) insert.run(payload(number, 200).toString())
    database.exec(`${change}; COMMIT`)
    database.close()
    return gate(directory)
  })
}

const putAgain = (number: number) => `INSERT INTO events (data) SELECT data FROM events WHERE event_id = ${number}`

test('the gate passes a store in which every event occurs once', async () => {
  assert.deepEqual(await problemsAfter(''), [])
})

test('the gate rejects a store that lacks one row', async () => {
  const problems = await problemsAfter('DELETE FROM events WHERE event_id = 17')
  assert.deepEqual(problems, ['49 rows, expected 50', "the rows' numbers add up to 1258, expected 1275"])
})

test('the gate rejects a store that has one event twice', async () => {
  const problems = await problemsAfter(putAgain(17))
  assert.equal(problems.length, 3)
  assert.equal(problems[2], '1 rows repeat a number')
})

test('the gate rejects a store where a duplicate hides a missing row, also when only the count is known', async () => {
  const change = `${putAgain(17)}; DELETE FROM events WHERE event_id = 18`
  assert.deepEqual((await problemsAfter(change)).slice(1), ['1 rows repeat a number'])
  const problems = await problemsAfter(change, (directory) => storedRowsProblems(directory, rows))
  assert.deepEqual(problems, ['1 rows repeat a number'])
})

test('the gate rejects a log that lacks one entry or has one twice', async () => {
  const problemsOfLog = (change: string) =>
    withTempDirectory(async (directory) => {
      const database = new DatabaseSync(`${directory}/log.db`)
      database.exec('BEGIN; CREATE TABLE entries (append_number INTEGER PRIMARY KEY, batch BLOB NOT NULL)')
      const messages = new MessageFactory({ eventsPerMessage: 10, payloadBytes: 200 })
      const insert = database.prepare('INSERT INTO entries (batch) VALUES (?)')
      for (let entry = 0; entry < 5; entry++) insert.run(messages.next())
      database.exec(`${change}; COMMIT`)
      database.close()
      return loggedNumbersProblems(directory, expectedRows(rows))
    })
  assert.deepEqual(await problemsOfLog(''), [])
  assert.equal((await problemsOfLog('DELETE FROM entries WHERE append_number = 3'))[0], '40 events, expected 50')
  const twice = 'INSERT INTO entries (batch) SELECT batch FROM entries WHERE append_number = 3'
  assert.equal((await problemsOfLog(twice))[2], '10 events repeat a number')
})

test('the gate expects exactly the rows of the messages, with or without duplicates', () => {
  const shapes = fc.record({
    messages: fc.integer({ min: 1, max: 20 }),
    eventsPerMessage: fc.integer({ min: 1, max: 30 }),
    duplicateEvery: fc.integer({ min: 0, max: 40 }).filter((every) => every !== 1),
    payloadBytes: fc.integer({ min: 100, max: 300 }),
  })
  fc.assert(
    fc.property(shapes, ({ messages: count, ...shape }) => {
      const factory = new MessageFactory(shape)
      const numberOfId = new Map<string, number>()
      for (let message = 0; message < count; message++) {
        for (const { id, data } of decodeBatch(factory.next())) {
          assert.equal(data.length, shape.payloadBytes)
          const { n } = JSON.parse(Buffer.from(data).toString())
          assert.equal(Number.parseInt(id.slice(-12), 16), n)
          numberOfId.set(id, n)
        }
      }
      const sum = [...numberOfId.values()].reduce((total, number) => total + number, 0)
      assert.deepEqual({ rows: numberOfId.size, sum }, expectedRows(factory.events, shape.duplicateEvery))
    }),
    { numRuns: 200 },
  )
})
