// Long work of the server, asked for call by call.

import { toMillraceError } from '../errors.ts'
import { Interruption } from './interruption.ts'

/**
 * Calls until an answer says that nothing is left. Ctrl-C and SIGTERM end it: the server stops after the events it has in
 * hand, and what the last call had done is not known.
 * @returns the signal that ended it, or null.
 */
export async function repeatCalls(
  call: (cursor: string | undefined, signal: AbortSignal) => Promise<{ readonly nextCursor: string | null }>,
): Promise<NodeJS.Signals | null> {
  const interruption = new Interruption()
  try {
    let cursor: string | null | undefined
    while (cursor !== null && interruption.received === null) {
      cursor = (await call(cursor, interruption.signal)).nextCursor
    }
  } catch (thrown) {
    if (interruption.received === null || toMillraceError(thrown).code !== 'cancelled') throw thrown
  } finally {
    interruption.close()
  }
  return interruption.received
}
