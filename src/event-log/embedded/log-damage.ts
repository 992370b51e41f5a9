// Damage that was found in the files of the log, with what a person needs to judge it.

import { SqliteFailure } from '../../lib/sqlite/failure.ts'

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
