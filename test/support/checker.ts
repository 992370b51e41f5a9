// Compares the answers that the producers received (journal) with the table, the dead letters and the ledger.
//
// It compares the identity of every event, never counts alone, so a lost event and a duplicate do not cancel out.

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { identityOf, rowKeys } from './identity.ts'
import type { Journal } from './journal.ts'
import type { StoredRow } from './store-file.ts'

/** A line of the ledger in GET /v1/status. */
export interface LedgerLine {
  readonly topic: string
  readonly group: string
  readonly accepted: number | null
  readonly reopened: number | null
  readonly waiting: number | null
  readonly landed: number | null
  readonly dead: number | null
  readonly lost: number | null
  readonly balanced: boolean | null
}

export interface CheckInput {
  readonly journal: Journal
  readonly rows: readonly StoredRow[]
  /** The events among the dead letters. */
  readonly dead?: readonly { readonly source: string; readonly id: string }[]
  /** The ledger line of the landing group of each topic. */
  readonly ledger: readonly LedgerLine[]
}

/** Counts of event identities, except for the last two fields. */
export interface CheckResult {
  readonly accepted: number
  readonly landed: number
  readonly dead: number
  /** Events waiting according to the ledger. */
  readonly waiting: number
  /** Accepted, but neither landed nor dead nor waiting. */
  readonly lost: number
  /** Rows beyond the first of one event. */
  readonly dupRows: number
  /** Landed and dead. */
  readonly both: number
  /** Rows or dead letters of events that were never sent or only rejected, and rows with the wrong key. */
  readonly unexpected: number
  /** Pairs of adjacent events in a stream that their producer sent in the opposite order. */
  readonly orderViolations: number
  /** Whether `accepted + reopened = waiting + landed + dead + lost` on every line, and the audit agrees. */
  readonly balanced: boolean
  /** A few examples of the violations, for the test output. */
  readonly examples: readonly string[]
}

const maxExamples = 5

/** Compares and returns the counts; does not throw on a mismatch. */
export function compare(input: CheckInput): CheckResult {
  const { journal, rows, dead = [], ledger } = input
  const examples: string[] = []
  const note = (kind: string, identity: string): void => {
    if (examples.length < maxExamples) examples.push(`${kind} ${identity.replace('\0', ' ')}`)
  }

  let dupRows = 0
  let unexpected = 0
  const landed = new Set<string>()
  const keys = new Set<string>()
  for (const row of rows) {
    const identity = identityOf(row.source, row.id)
    if (landed.has(identity) || keys.has(row.eventId)) {
      dupRows++
      note('dup_row', identity)
    }
    landed.add(identity)
    keys.add(row.eventId)
    const entry = journal.find(row.source, row.id)
    if (entry === undefined || entry.accepted + entry.unknown === 0 || !entry.ids.has(row.id)) {
      unexpected++
      note('unexpected row', identity)
    } else if (!rowKeys(row.source, row.id).includes(row.eventId)) {
      unexpected++
      note(`row under the key ${row.eventId}`, identity)
    }
  }

  let both = 0
  const deadIdentities = new Set<string>()
  for (const letter of dead) {
    const identity = identityOf(letter.source, letter.id)
    deadIdentities.add(identity)
    const entry = journal.find(letter.source, letter.id)
    if (entry === undefined || entry.accepted + entry.unknown === 0) {
      unexpected++
      note('unexpected dead letter', identity)
    }
    if (landed.has(identity)) {
      both++
      note('both', identity)
    }
  }

  const waiting = ledger.reduce((sum, line) => sum + (line.waiting ?? Number.NaN), 0)
  let accepted = 0
  let missing = 0
  for (const [identity, entry] of journal.entries()) {
    if (entry.accepted === 0) continue
    accepted++
    if (landed.has(identity) || deadIdentities.has(identity)) continue
    missing++
    if (waiting === 0) note('lost', identity)
  }

  return {
    accepted,
    landed: landed.size,
    dead: deadIdentities.size,
    waiting,
    lost: Math.max(0, missing - waiting),
    dupRows,
    both,
    unexpected,
    orderViolations: countOrderViolations(journal, rows),
    balanced: ledger.length > 0 && ledger.every(isBalanced),
    examples,
  }
}

/** Whether the ledger line satisfies the equation of `balanced`. A line with an unknown value does not balance. */
export function isBalanced(line: LedgerLine): boolean {
  const { accepted, reopened, waiting, landed, dead, lost } = line
  if (accepted === null || reopened === null || waiting === null) return false
  if (landed === null || dead === null || lost === null) return false
  return line.balanced === true && accepted + reopened === waiting + landed + dead + lost
}

function countOrderViolations(journal: Journal, rows: readonly StoredRow[]): number {
  const byPlace = rows.toSorted((one, other) => one.stream - other.stream || one.logOffset - other.logOffset)
  const lastNumber = new Map<string, number>()
  let violations = 0
  for (const row of byPlace) {
    const entry = journal.find(row.source, row.id)
    if (entry === undefined) continue
    const line = `${row.stream} ${entry.producer}`
    const last = lastNumber.get(line) ?? -1
    if (entry.number < last) violations++
    lastNumber.set(line, Math.max(last, entry.number))
  }
  return violations
}

/** The counts on one line, as the tests print them. */
export function describeCheck(result: CheckResult): string {
  const { accepted, landed, dead, waiting, lost, dupRows, both, unexpected, orderViolations, balanced } = result
  return (
    `accepted ${accepted}, landed ${landed}, dead ${dead}, waiting ${waiting}, lost ${lost}, dup_rows ${dupRows}, ` +
    `both ${both}, unexpected ${unexpected}, order_violations ${orderViolations}, ledger ${balanced ? 'balanced' : 'NOT balanced'}`
  )
}

/** Prints the counts; fails if an event is lost, duplicated, unexpected or out of order or the ledger is unbalanced. */
export function assertSound(t: TestContext, result: CheckResult): void {
  t.diagnostic(describeCheck(result))
  const { waiting, lost, dupRows, both, unexpected, orderViolations, balanced } = result
  assert.deepEqual(
    { waiting, lost, dupRows, both, unexpected, orderViolations, balanced },
    { waiting: 0, lost: 0, dupRows: 0, both: 0, unexpected: 0, orderViolations: 0, balanced: true },
    result.examples.join('; '),
  )
}
