// How a case says that it can not run here.

import type { TestContext } from 'node:test'

/** Marks the test as skipped and prints why. The caller returns at once. */
export function skip(t: TestContext, reason: string): void {
  t.diagnostic(`skipped: ${reason}`)
  t.skip(reason)
}
