// What a server is started with, and what one that runs can do.

import type { FirstKey } from '../access/first-key.ts'
import type { openEventLog } from '../event-log/open-event-log.ts'
import type { openStore } from '../store/open-store.ts'
import type { ServerLogger } from '../telemetry/logger.ts'
import type { HandlerDefinition } from '../workers/define-handler.ts'
import type { Addresses } from './addresses.ts'

export interface ServerOptions {
  readonly version: string
  /** Default: JSON lines on stderr. */
  readonly logger?: ServerLogger
  /** Replacements that open the log and the store, for programs that embed the server with their own drivers. */
  readonly openEventLog?: typeof openEventLog
  readonly openStore?: typeof openStore
  /** Handlers besides those of the modules that the configuration names. */
  readonly handlers?: readonly HandlerDefinition[]
  /**
   * Whether all groups but those of landing and of dead letters are paused before anything is worked on. They stay paused,
   * in every process and after a restart, until they are resumed. Default false.
   */
  readonly startsPaused?: boolean
  /** Called with the first admin key, at once when this process has made it. */
  readonly onFirstKey?: (firstKey: FirstKey) => void
  /** The wall clock, in milliseconds since 1970. */
  readonly now?: () => number
}

export interface RunningServer {
  readonly addresses: Addresses
  /**
   * Resolves with the reason when the server has failed: it acknowledges nothing any more, and the process should exit.
   */
  readonly failed: Promise<Error>
  /**
   * Stops the server: it reports not ready at once, accepts nothing new, and finishes what is in flight within the
   * drain time. The rest stays in the log. Idempotent.
   */
  close(): Promise<void>
}
