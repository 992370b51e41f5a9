// Lists the keys that have redeliveries in one of a group's own streams.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { HeldKey, StreamName } from '../../event-log.ts'
import { sqlFile } from '../file/sql-file.ts'
import { findGroup, findStream } from './find.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export class HeldKeys {
  readonly #list: StatementSync

  constructor(database: DatabaseSync) {
    this.#list = database.prepare(sqlFile('held-keys'))
  }

  of(work: UnitOfWork, stream: StreamName, group: string): readonly HeldKey[] {
    const { partition, lane } = findStream(work, stream)
    const own = work.ownStream(findGroup(work, stream.topic, group).groupNumber, partition, lane)
    const rows = this.#list.all(own.stream) as unknown as HeldKey[]
    return rows.map(({ key, events, attempt, dueAtMs }) => ({ key, events, attempt, dueAtMs }))
  }
}
