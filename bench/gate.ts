// The validity gate: a result counts only when every event is stored exactly once.
//
// Events are numbered from 1 in their payload. The gate reads the numbers back and checks their count, their sum, and that
// none is repeated.

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EventReader } from '../src/event/record-batch.ts'
import { numberDigits, numberStart } from './messages.ts'

export interface ExpectedNumbers {
  readonly rows: number
  readonly sum: number
}

/** The problems of the rows of store.db in the directory; empty when there are none. */
export function storedNumbersProblems(directory: string, expected: ExpectedNumbers): string[] {
  return storedNumbers(directory).problems(expected)
}

/** The same when only the count is known, because the server refused some of the events. */
export function storedRowsProblems(directory: string, rows: number): string[] {
  const numbers = storedNumbers(directory)
  return numbers.problems({ rows, sum: numbers.sum })
}

function storedNumbers(directory: string): SeenNumbers {
  const database = new DatabaseSync(join(directory, 'store.db'), { readOnly: true })
  try {
    const select = database.prepare(
      `SELECT CAST(substr(data, ${numberStart + 1}, ${numberDigits}) AS INTEGER) AS number FROM events`,
    )
    const numbers = new SeenNumbers('row')
    for (const row of select.iterate()) numbers.add(row.number as number)
    return numbers
  } finally {
    database.close()
  }
}

/** The problems of the events in the entries of log.db in the directory; empty when there are none. */
export function loggedNumbersProblems(directory: string, expected: ExpectedNumbers): string[] {
  const database = new DatabaseSync(join(directory, 'log.db'), { readOnly: true })
  try {
    const numbers = new SeenNumbers('event')
    const reader = new EventReader()
    for (const row of database.prepare('SELECT batch FROM entries').iterate()) {
      const batch = row.batch as Uint8Array
      reader.reset(batch)
      while (reader.next()) numbers.add(numberAt(batch, reader.fields.dataStart + numberStart))
    }
    return numbers.problems(expected)
  } finally {
    database.close()
  }
}

function numberAt(bytes: Uint8Array, start: number): number {
  let number = 0
  for (let at = start; at < start + numberDigits; at++) if (bytes[at] !== 32) number = number * 10 + bytes[at]! - 48
  return number
}

/** Counts numbers and detects repeated ones. */
export class SeenNumbers {
  readonly #what: string
  #seen = new Uint8Array(1 << 20)
  #count = 0
  #sum = 0
  #repeated = 0

  /** @param what the name of a numbered item, for messages: `row` or `event`. */
  constructor(what: string) {
    this.#what = what
  }

  get sum(): number {
    return this.#sum
  }

  add(number: number): void {
    while (number >= this.#seen.length) {
      const larger = new Uint8Array(this.#seen.length * 2)
      larger.set(this.#seen)
      this.#seen = larger
    }
    this.#count++
    this.#sum += number
    this.#repeated += this.#seen[number]!
    this.#seen[number] = 1
  }

  problems(expected: ExpectedNumbers): string[] {
    const found = { what: this.#what, count: this.#count, repeated: this.#repeated, sum: this.#sum }
    return numbersProblems(found, expected)
  }
}

export interface FoundNumbers {
  /** The name of a numbered item, for messages: `row` or `event`. */
  readonly what: string
  readonly count: number
  /** How many items have a number that occurred before. */
  readonly repeated: number
  readonly sum: number
}

/** The problems of the numbers that were found; empty when there are none. */
export function numbersProblems({ what, count, repeated, sum }: FoundNumbers, expected: ExpectedNumbers): string[] {
  const problems: string[] = []
  if (count !== expected.rows) problems.push(`${count} ${what}s, expected ${expected.rows}`)
  if (sum !== expected.sum) problems.push(`the ${what}s' numbers add up to ${sum}, expected ${expected.sum}`)
  if (repeated > 0) problems.push(`${repeated} ${what}s repeat a number`)
  return problems
}
