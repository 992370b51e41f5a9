// Skips a test that cannot run on this machine.

import type { TestContext } from 'node:test'

/** Marks the test as skipped and prints why. The caller returns at once. */
export function skip(t: TestContext, reason: string): void {
  t.diagnostic(`skipped: ${reason}`)
  t.skip(reason)
}
