// Damage found in a file of the log: which file, what was expected and what was found.

import { SqliteFailure } from '../../../lib/sqlite/failure.ts'

export class LogDamage extends SqliteFailure {
  readonly file: string
  readonly expected: string
  readonly found: string

  constructor(file: string, expected: string, found: string) {
    super('damaged', `${file}: expected ${expected}, found ${found}`)
    this.file = file
    this.expected = expected
    this.found = found
  }
}
