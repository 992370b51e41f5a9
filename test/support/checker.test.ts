import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CheckInput, type CheckResult, compare, type LedgerLine } from './checker.ts'
import { identityOf, rowKeys, uuidV5 } from './identity.ts'
import { type Answer, Journal } from './journal.ts'
import type { StoredRow } from './store-file.ts'

const uuid = '0198C0DE-0000-7000-8000-0000000000AB'

function journalOf(answers: readonly [id: string, answer: Answer][], source = '/shop'): Journal {
  const journal = new Journal()
  for (const [id, answer] of answers) journal.attempt('p', { source, id }).answer = answer
  return journal
}

function rowOf(id: string, logOffset = 0, source = '/shop'): StoredRow {
  return { eventId: rowKeys(source, id)[0] as string, id, source, topic: 'events', stream: 1, logOffset }
}

const line = (numbers: Partial<LedgerLine> = {}): LedgerLine => ({
  topic: 'events',
  group: 'landing',
  accepted: 0,
  reopened: 0,
  waiting: 0,
  landed: 0,
  dead: 0,
  lost: 0,
  balanced: true,
  ...numbers,
})

function wrongCounts(input: Omit<CheckInput, 'ledger'> & { ledger?: LedgerLine[] }): Partial<CheckResult> {
  const { lost, dupRows, both, unexpected, orderViolations, balanced } = compare({ ledger: [line()], ...input })
  const wrong = { lost, dupRows, both, unexpected, orderViolations, balanced: !balanced }
  return Object.fromEntries(Object.entries(wrong).filter(([, count]) => count))
}

test('the key of an event follows RFC 9562 and docs/tables.md, whatever the case of a UUID', () => {
  // Made with Python's uuid.uuid5(uuid.NAMESPACE_URL, '/shop\\0order-1').
  assert.equal(uuidV5('/shop', 'order-1'), '46afa06d2b6c58a794177c461061c6e7')
  assert.notEqual(uuidV5('a', 'bc'), uuidV5('ab', 'c'))
  assert.equal(rowKeys('/shop', uuid)[0], '0198c0de0000700080000000000000ab')
  assert.equal(identityOf('/shop', uuid), identityOf('/shop', uuid.toLowerCase()))
  assert.notEqual(identityOf('/shop', 'Order-1'), identityOf('/shop', 'order-1'))
})

test('the checker passes when every accepted event has one row and an unknown event has one or none', () => {
  const journal = journalOf([
    ['a', 'accepted'],
    [uuid, 'accepted'],
    ['b', 'unknown'],
    ['c', 'unknown'],
    ['d', 'rejected'],
  ])
  const rows = [rowOf('a', 0), rowOf(uuid, 1), rowOf('b', 2)]
  assert.deepEqual(wrongCounts({ journal, rows }), {})
})

test('the checker finds a missing accepted event, but not while it may be waiting', () => {
  const journal = journalOf([
    ['a', 'accepted'],
    ['b', 'accepted'],
  ])
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a')] }), { lost: 1 })
  assert.deepEqual(
    wrongCounts({ journal, rows: [rowOf('a')], ledger: [line({ accepted: 2, landed: 1, waiting: 1 })] }),
    {},
  )
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a')], dead: [{ source: '/shop', id: 'b' }] }), {})
})

test('a lost event and a duplicate row do not cancel out', () => {
  const journal = journalOf([
    ['a', 'accepted'],
    ['b', 'accepted'],
  ])
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a'), rowOf('a')] }), { lost: 1, dupRows: 1 })
})

test('plain ids are case-sensitive, UUIDs are not', () => {
  const journal = journalOf([['Order-1', 'accepted']])
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('order-1')] }), { lost: 1, unexpected: 1 })
  const both = journalOf([
    [uuid, 'accepted'],
    [uuid.toLowerCase(), 'accepted'],
  ])
  assert.deepEqual(wrongCounts({ journal: both, rows: [rowOf(uuid.toLowerCase())] }), {})
})

test('two sources may use the same UUID, and each has its row', () => {
  const journal = journalOf([[uuid, 'accepted']], '/one')
  journal.attempt('q', { source: '/two', id: uuid }).answer = 'accepted'
  const second = { ...rowOf(uuid, 1, '/two'), eventId: uuidV5('/two', uuid) }
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf(uuid, 0, '/one'), second] }), {})
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf(uuid, 0, '/one'), rowOf(uuid, 1, '/two')] }), { dupRows: 1 })
})

test('the checker finds rows of events never sent, of rejected events, and rows with the wrong key', () => {
  const journal = journalOf([
    ['a', 'accepted'],
    ['b', 'rejected'],
  ])
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a'), rowOf('b')] }), { unexpected: 1 })
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a'), rowOf('z')] }), { unexpected: 1 })
  const astray = { ...rowOf('a'), eventId: 'f'.repeat(32) }
  assert.deepEqual(wrongCounts({ journal, rows: [astray] }), { unexpected: 1 })
})

test('the checker finds an event that is landed and dead, and a dead letter of an event never sent', () => {
  const journal = journalOf([['a', 'accepted']])
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a')], dead: [{ source: '/shop', id: 'a' }] }), { both: 1 })
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a')], dead: [{ source: '/shop', id: 'z' }] }), {
    unexpected: 1,
  })
})

test('the checker finds events of one producer that are out of order in a stream', () => {
  const journal = journalOf([
    ['a', 'accepted'],
    ['b', 'accepted'],
    ['c', 'accepted'],
  ])
  assert.deepEqual(wrongCounts({ journal, rows: [rowOf('a', 0), rowOf('b', 9), rowOf('c', 5)] }), {
    orderViolations: 1,
  })
})

test('a ledger does not balance if it does not add up, the audit contradicts it, or it has unknown values', () => {
  const journal = new Journal()
  const ledgers = [
    [line({ accepted: 1 })],
    [line({ balanced: false })],
    [line({ balanced: null })],
    [line({ waiting: null })],
    [],
  ]
  for (const ledger of ledgers) assert.equal(compare({ journal, rows: [], ledger }).balanced, false)
  const full = line({ accepted: 10, reopened: 2, waiting: 3, landed: 4, dead: 4, lost: 1 })
  assert.equal(compare({ journal, rows: [], ledger: [full] }).balanced, true)
})
