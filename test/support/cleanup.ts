// Runs the cleanup of a test in reverse order of registration.
//
// node:test runs its `after` hooks in the order in which they were registered, which would remove a directory before
// the server in it has stopped.

import type { TestContext } from 'node:test'

type Undo = () => void | Promise<void>

const undosOf = new WeakMap<TestContext, Undo[]>()

/** Runs `undo` when the test ends, before cleanups registered earlier. A failing cleanup does not stop the others. */
export function cleanup(t: TestContext, undo: Undo): void {
  const known = undosOf.get(t)
  if (known !== undefined) {
    known.push(undo)
    return
  }
  const undos = [undo]
  undosOf.set(t, undos)
  t.after(async () => {
    const failures: unknown[] = []
    for (let last = undos.pop(); last !== undefined; last = undos.pop()) {
      try {
        await last()
      } catch (failure) {
        failures.push(failure)
      }
    }
    if (failures.length === 1) throw failures[0]
    if (failures.length > 1) throw new AggregateError(failures, 'cleaning up failed')
  })
}
