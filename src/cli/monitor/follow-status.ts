// Watches a server for as long as somebody looks: connects again whenever the watch ends.

import type { Client } from '../../client/connect.ts'
import { type ErrorCode, toMillraceError } from '../../errors.ts'
import { sleep } from '../../lib/abort.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Observed } from '../../pipeline/pipeline.ts'

const reconnectPolicy = { baseMs: 200, maxMs: 2000 }

/** Trying again changes nothing about these. */
const finalCodes: readonly ErrorCode[] = ['invalid_event', 'unauthenticated', 'permission_denied', 'unimplemented']

export interface FollowOptions {
  readonly intervalMs: number
  readonly signal: AbortSignal
  onObserved(observed: Observed): void
  /** The server is away; it is tried again. Called after each try. */
  onAway(reason: string): void
}

/** Resolves when the signal aborts. Errors: those that no other try would mend. */
export async function followStatus(client: Client, options: FollowOptions): Promise<void> {
  const { signal, onObserved, onAway } = options
  for (let failures = 1; !signal.aborted; failures++) {
    const reason = await watchOnce(client, {
      ...options,
      onObserved: (observed) => {
        failures = 0
        onObserved(observed)
      },
    })
    if (signal.aborted) return
    onAway(reason)
    await sleep(backoffMs(failures + 1, reconnectPolicy, 0.5 + Math.random() / 2), signal)
  }
}

/** Resolves with the reason why the watch has ended. */
async function watchOnce(client: Client, { intervalMs, signal, onObserved }: FollowOptions): Promise<string> {
  try {
    for await (const observed of client.watchStatus({ intervalMs, signal })) onObserved(observed)
    return 'the watch has ended'
  } catch (thrown) {
    const error = toMillraceError(thrown)
    if (finalCodes.includes(error.code) && !signal.aborted) throw error
    return error.message
  }
}
