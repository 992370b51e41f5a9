// The processes that use the log: this one says every 5 s that it is there, and learns of the others by that.

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Config } from '../config/config.ts'
import type { EventLog } from '../event-log/event-log.ts'
import type { ProcessStatus } from '../pipeline/process-status.ts'

const everyMs = 5000

/** A process that has died is listed for so long. */
const keptMs = 15_000

export interface ProcessesParts {
  readonly eventLog: Pick<EventLog, 'announce'>
  readonly config: Pick<Config, 'roles'>
  readonly version: string
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

export class Processes {
  readonly #eventLog: ProcessesParts['eventLog']
  readonly #own: ProcessStatus
  #found: readonly ProcessStatus[]
  #announcing: Promise<void> = Promise.resolve()
  readonly #timer: NodeJS.Timeout

  constructor({ eventLog, config, version, now }: ProcessesParts) {
    this.#eventLog = eventLog
    this.#own = { id: randomUUID(), roles: config.roles, host: hostname(), version, startedAtMs: now() }
    this.#found = [this.#own]
    this.#announce()
    this.#timer = setInterval(() => this.#announce(), everyMs).unref()
  }

  /** The oldest first. While the log is unreachable: as it was last seen. */
  list(): readonly ProcessStatus[] {
    return this.#found
  }

  /** The others do not list it any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#announcing
    await this.#eventLog.announce(this.#own.id, '', keptMs).catch(() => {})
  }

  /** A failure is the log's to tell; the next call repairs it. */
  #announce(): void {
    const { id, ...about } = this.#own
    this.#announcing = this.#eventLog.announce(id, JSON.stringify(about), keptMs).then(
      (texts) => {
        const found = Array.from(texts, ([each, text]) => processOf(each, text)).filter((each) => each !== null)
        this.#found = found.sort((a, b) => a.startedAtMs - b.startedAtMs || (a.id < b.id ? -1 : 1))
      },
      () => {},
    )
  }
}

/** Null for what a version with other members has written. */
function processOf(id: string, text: string): ProcessStatus | null {
  try {
    const { roles, host, version, startedAtMs } = JSON.parse(text) as Partial<ProcessStatus>
    const isKnown = Array.isArray(roles) && typeof startedAtMs === 'number'
    return isKnown ? { id, roles: roles.map(String), host: String(host), version: String(version), startedAtMs } : null
  } catch {
    return null
  }
}
