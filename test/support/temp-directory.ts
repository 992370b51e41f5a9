// A temporary directory per test.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'

/** Creates an empty directory that is removed when the test ends. */
export function tempDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-test-'))
  cleanup(t, () => rmSync(directory, { recursive: true, force: true }))
  return directory
}
