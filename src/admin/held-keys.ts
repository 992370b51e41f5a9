// Lists the keys of a group whose events wait for the first of them, and releases them.

import { MillraceError } from '../errors.ts'
import { type EventLog, type HeldKey as HeldInLog, never, type StreamName } from '../event-log/event-log.ts'
import type { GroupName, HeldKey, HeldKeys as HeldKeysAnswer, ReleaseAction } from '../pipeline/administration.ts'
import { attemptAfter } from '../workers/release-action.ts'
import type { AdminParts } from './admin-parts.ts'
import { checkText } from './filter.ts'

const maxKeys = 1000

export class HeldKeys {
  readonly #eventLog: EventLog

  constructor({ eventLog }: Pick<AdminParts, 'eventLog'>) {
    this.#eventLog = eventLog
  }

  async list(name: GroupName, limit: number): Promise<HeldKeysAnswer> {
    if (!Number.isInteger(limit) || limit < 1 || limit > maxKeys) {
      throw new MillraceError('invalid_event', `limit must be a whole number from 1 to ${maxKeys}`, { field: 'limit' })
    }
    const keys: HeldKey[] = []
    for (const stream of await this.#streamsOf(name)) {
      if (keys.length > limit) break
      const found = await this.#eventLog.heldKeys(stream, name.group)
      for (const held of found) {
        const { key, events, dueAtMs } = held
        const dueAtMicros = dueAtMs === never ? null : dueAtMs * 1000
        const place = { partition: stream.partition, priority: stream.lane }
        keys.push({ key, ...place, events, attempts: attemptsOf(held), dueAtMicros })
      }
    }
    return { keys: keys.slice(0, limit), hasMore: keys.length > limit }
  }

  /** A key may wait in several lanes. */
  async release(name: GroupName, key: string, action: ReleaseAction): Promise<void> {
    let [isFound, isReleased] = [false, false]
    for (const stream of await this.#streamsOf(name)) {
      const found = (await this.#eventLog.heldKeys(stream, name.group)).find((held) => held.key === key)
      if (found === undefined) continue
      isFound = true
      const attempt = attemptAfter(action, attemptsOf(found))
      isReleased = (await this.#eventLog.release(stream, name.group, key, attempt)) || isReleased
    }
    if (isReleased) return
    const shown = `the first event of key ${JSON.stringify(key.slice(0, 80))}`
    if (isFound)
      throw new MillraceError('failed_precondition', `a worker has ${shown} now: wait for it`, { field: 'key' })
    throw new MillraceError('not_found', `group "${name.group}" does not wait for ${shown}`, { field: 'key' })
  }

  async #streamsOf({ topic, group }: GroupName): Promise<readonly StreamName[]> {
    checkText('topic', topic)
    checkText('group', group)
    const found = (await this.#eventLog.describe()).topics.find(({ name }) => name === topic)
    if (found?.groups.some(({ name }) => name === group) !== true) {
      throw new MillraceError('not_found', `there is no group "${group}" of a topic "${topic}"`, { field: 'group' })
    }
    return found.streams.map(({ partition, lane }) => ({ topic, partition, lane }))
  }
}

/** What is held until a person releases it has been left room for one more attempt (deliveries-in-hand.ts). */
function attemptsOf({ attempt, dueAtMs }: HeldInLog): number {
  return attempt + (dueAtMs === never ? 1 : 0)
}
