// The API keys of a server: the ring that its calls are checked against, and the first admin key.

import { type FirstKey, makeFirstKey } from '../access/first-key.ts'
import { KeyRegistry } from '../access/key-registry.ts'
import { KeyRing } from '../access/key-ring.ts'
import { needsKeys } from '../config/config.ts'
import { toMillraceError } from '../errors.ts'
import { sleep } from '../lib/abort.ts'
import type { Keys } from '../pipeline/keys.ts'
import type { ApiKeys } from '../store/api-keys.ts'
import type { ServerContext } from './server-context.ts'

export interface ServerKeys {
  readonly keys: Keys
  close(): Promise<void>
}

/** How long after an outage of the database the first key is tried again. */
const tryAgainMs = 1000

/**
 * Opens the ring, even if the database does not answer yet. A server that needs keys, accepts events and has no valid admin key makes one, as
 * soon as the database answers.
 * @param onFirstKey gets it, in the process that has made it.
 */
export async function assembleKeys(
  { config, logger, now, monotonicNow }: ServerContext,
  store: ApiKeys,
  onFirstKey: (firstKey: FirstKey) => void,
): Promise<ServerKeys> {
  const closing = new AbortController()
  const makeOne = async (): Promise<'made' | 'unavailable'> => {
    try {
      const firstKey = await makeFirstKey(store, config.dataDir, now())
      if (firstKey !== null) onFirstKey(firstKey)
      return 'made'
    } catch (thrown) {
      if (!toMillraceError(thrown).retryable) throw thrown
      return 'unavailable'
    }
  }
  const makeOneLater = async () => {
    while (!closing.signal.aborted) {
      await sleep(tryAgainMs, closing.signal)
      if ((await makeOne()) === 'made') return
    }
  }
  let later = Promise.resolve()
  // A process without it has no calls to make keys with, and often no data directory that lasts.
  if (needsKeys(config) && config.roles.includes('ingest') && (await makeOne()) === 'unavailable') {
    logger.warn('there may be no admin key yet: the database does not answer')
    later = makeOneLater().catch((error: unknown) => logger.error({ error }, 'the first admin key was not made'))
  }
  const ring = new KeyRing({ store, now, monotonicNow })
  ring.start()
  const close = async () => {
    closing.abort()
    await Promise.all([later, ring.close()])
  }
  return { keys: new KeyRegistry({ store, ring, logger, now }), close }
}
