import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseMigrations } from '../migrations.ts'
import { LandingBlocks, maxBlockRows } from './landing-blocks.ts'
import { readMigrationFiles } from './sql-file.ts'

interface BlockRow {
  first_rowid: number
  last_rowid: number
  min_received_at: number
  max_received_at: number
}

function openMemory(): DatabaseSync {
  const database = new DatabaseSync(':memory:')
  for (const { sql } of parseMigrations(readMigrationFiles())) database.exec(sql)
  return database
}

function blocksOf(database: DatabaseSync): BlockRow[] {
  return database.prepare('SELECT * FROM landing_blocks ORDER BY first_rowid').all() as unknown as BlockRow[]
}

test('blocks cover every landed row once and contain its time of receipt, whatever the order of the times', () => {
  const run = fc.record({ rows: fc.integer({ min: 1, max: 700 }), at: fc.integer({ min: 0, max: 400_000 }) })
  const landing = fc.record({ runs: fc.array(run, { minLength: 1, maxLength: 6 }), reopened: fc.boolean() })
  fc.assert(
    fc.property(fc.array(landing, { minLength: 1, maxLength: 8 }), (landings) => {
      const database = openMemory()
      let blocks = new LandingBlocks(database)
      const times: number[] = []
      for (const { runs, reopened } of landings) {
        if (reopened) blocks = new LandingBlocks(database)
        for (const { rows, at } of runs) for (let row = 0; row < rows; row++) blocks.add(times.push(at), at)
        blocks.save()
      }
      let next = 1
      for (const { first_rowid, last_rowid, min_received_at, max_received_at } of blocksOf(database)) {
        assert.equal(first_rowid, next)
        assert.ok(last_rowid - first_rowid < maxBlockRows)
        const held = times.slice(first_rowid - 1, last_rowid)
        assert.deepEqual([min_received_at, max_received_at], [Math.min(...held), Math.max(...held)])
        next = last_rowid + 1
      }
      assert.equal(next, times.length + 1)
      database.close()
    }),
    { numRuns: 40 },
  )
})

test('single events share a block; lanes with different waiting times do not', () => {
  const database = openMemory()
  const blocks = new LandingBlocks(database)
  let rowid = 0
  for (let landing = 0; landing < 200; landing++) {
    blocks.add(++rowid, landing * 60_000_000)
    blocks.save()
  }
  assert.equal(blocksOf(database).length, 1)

  for (let landing = 0; landing < 4; landing++) {
    for (let row = 0; row < 1000; row++) blocks.add(++rowid, 20_000_000_000 + landing)
    for (let row = 0; row < 1000; row++) blocks.add(++rowid, 30_000_000_000 + landing)
    blocks.save()
  }
  const wide = blocksOf(database).filter(
    ({ min_received_at, max_received_at }) => max_received_at - min_received_at > 100_000,
  )
  assert.equal(wide.length, 1)
  database.close()
})

test('rows of a rolled back transaction are removed from the blocks', () => {
  const database = openMemory()
  const blocks = new LandingBlocks(database)
  blocks.add(1, 10)
  blocks.save()
  database.exec('BEGIN')
  blocks.add(2, 99)
  blocks.save()
  database.exec('ROLLBACK')
  blocks.forget()
  blocks.add(2, 20)
  blocks.save()

  assert.deepEqual(
    blocksOf(database).map((row) => ({ ...row })),
    [{ first_rowid: 1, last_rowid: 2, min_received_at: 10, max_received_at: 20 }],
  )
  database.close()
})
