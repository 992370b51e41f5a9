// The server with one deliberate defect, for the negative controls: the checker must report each defect.
//
// Everything else is the real server. The one argument names the defect, or is `none`.

import { loadConfig } from '../../../src/config/config.ts'
import type { EventLog } from '../../../src/event-log/event-log.ts'
import { openEventLog } from '../../../src/event-log/open-event-log.ts'
import type { ServerOptions } from '../../../src/server/server-options.ts'
import { startServer } from '../../../src/server/start-server.ts'
import type { EventStore, LandedCounts } from '../../../src/store/event-store.ts'
import { openStore } from '../../../src/store/open-store.ts'
import { StoreWithoutKey } from './store-without-key.ts'

const never = new Promise<never>(() => {})

/** Reports an append as durable before passing it to the log. The test kills the server before the log gets it. */
function acknowledgeBeforeFlush(eventLog: EventLog): EventLog {
  return overriding(eventLog, {
    append: async (stream, batches) => {
      let offset = 0
      const positions = batches.map((batch) => {
        const position = { stream, epoch: 1, offset }
        offset += batch.count
        return position
      })
      return { positions, duplicate: false }
    },
  })
}

/** Reports a landing as committed before it begins. The test kills the server between settling and COMMIT. */
function settleBeforeCommit(store: EventStore): EventStore {
  return overriding(store, {
    landEvents: async (entries): Promise<LandedCounts> => {
      const landed = entries.reduce((sum, { batch }) => sum + batch.count, 0)
      return { landed, duplicates: 0, conflicts: [], poison: [] }
    },
  })
}

/** Commits a landing and never reports it. Not a defect: the test kills the server between COMMIT and settling. */
function withholdLanding(store: EventStore): EventStore {
  return overriding(store, {
    landEvents: async (entries) => {
      await store.landEvents(entries)
      return never
    },
  })
}

/** A proxy of the object with some methods replaced. */
function overriding<T extends object>(original: T, methods: Partial<T>): T {
  return new Proxy(original, {
    get: (target, name) => {
      if (name in methods) return methods[name as keyof T]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const defects: Record<string, Pick<ServerOptions, 'openEventLog' | 'openStore'>> = {
  none: {},
  'acknowledge-before-flush': {
    openEventLog: async (...given) => acknowledgeBeforeFlush(await openEventLog(...given)),
  },
  'settle-before-commit': { openStore: async (...given) => settleBeforeCommit(await openStore(...given)) },
  'withhold-landing': { openStore: async (...given) => withholdLanding(await openStore(...given)) },
  'without-key': { openStore: async (config) => new StoreWithoutKey(config.dataDir) },
  'without-key-withhold-landing': { openStore: async (config) => withholdLanding(new StoreWithoutKey(config.dataDir)) },
}

const defect = defects[process.argv[2] ?? '']
if (defect === undefined) throw new Error(`no such defect: ${process.argv[2]}`)
const config = loadConfig({ env: process.env, cwd: process.cwd() })
const server = await startServer(config, { version: '0.0.0', ...defect })
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)))
