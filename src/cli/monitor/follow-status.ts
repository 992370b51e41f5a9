// Watches a server until aborted: reconnects, with backoff, whenever the watch ends.

import type { Client } from '../../client/connect.ts'
import { type ErrorCode, toMillraceError } from '../../errors.ts'
import { sleep } from '../../lib/abort.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Observed } from '../../pipeline/pipeline.ts'

const reconnectPolicy = { baseMs: 200, maxMs: 2000 }

/** Errors that a retry does not fix. */
const finalCodes: readonly ErrorCode[] = ['invalid_event', 'unauthenticated', 'permission_denied', 'unimplemented']

export interface FollowOptions {
  readonly intervalMs: number
  readonly signal: AbortSignal
  onObserved(observed: Observed): void
  /** Called after each failed attempt; another one follows. */
  onUnreachable(reason: string): void
}

/** Resolves when the signal aborts. Errors: `finalCodes`. */
export async function followStatus(client: Client, options: FollowOptions): Promise<void> {
  const { signal, onObserved, onUnreachable } = options
  for (let failures = 1; !signal.aborted; failures++) {
    const reason = await watchOnce(client, {
      ...options,
      onObserved: (observed) => {
        failures = 0
        onObserved(observed)
      },
    })
    if (signal.aborted) return
    onUnreachable(reason)
    await sleep(backoffMs(failures + 1, reconnectPolicy, 0.5 + Math.random() / 2), signal)
  }
}

/** Resolves with the reason why the watch ended. */
async function watchOnce(client: Client, { intervalMs, signal, onObserved }: FollowOptions): Promise<string> {
  try {
    for await (const observed of client.watchStatus({ intervalMs, signal })) onObserved(observed)
    return 'the server ended the watch'
  } catch (thrown) {
    const error = toMillraceError(thrown)
    if (finalCodes.includes(error.code) && !signal.aborted) throw error
    return error.message
  }
}
