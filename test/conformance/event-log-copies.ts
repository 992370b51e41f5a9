// Copies of a log's data directory, to be damaged and opened.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { cleanup } from '../support/cleanup.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsIn,
  landed,
  leaseMs,
  named,
  stream,
  take,
  topic,
} from './event-log-verbs.ts'

const groups = [{ name: group }, { name: 'second' }]

const silent = { info() {}, warn() {} }

export function openEmbedded(dataDir: string, more: { readonly diskReserveBytes?: number } = {}): Promise<EventLog> {
  return openEventLog({ dataDir, diskReserveBytes: 0, ...more }, { logger: silent, now: Date.now })
}

/** An empty directory that is removed after the test. */
export function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-log-'))
  cleanup(t, () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/**
 * Copies a data directory. Another process does it: closing a descriptor of log.db in the process that has it open
 * would drop its lock.
 */
export function copyDirectory(t: TestContext, from: string): string {
  const copy = directoryFor(t)
  spawnSync('cp', ['-r', `${from}/.`, copy])
  return copy
}

export interface DamageBase {
  /** After an orderly close. */
  readonly closed: string
  /** After kill -9: with a WAL that holds the latest commits. */
  readonly crashed: string
}

/** A log with every kind of content: long and short entries, settled ranges, attempts, redeliveries and reopens. */
export async function makeDamageBase(t: TestContext): Promise<DamageBase> {
  const closed = directoryFor(t)
  const eventLog = await openEmbedded(closed)
  await eventLog.declare(topic, { partitions: 1, groups })
  for (let index = 0; index < 30; index++) {
    const batch = batchOf(named(`${index}.`, index % 3 === 0 ? 900 : 520))
    await eventLog.append(stream(index % 5 === 0 ? 'high' : 'normal'), [batch])
  }
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const some = await take(consumer, 8000)
  for (const [index, delivery] of some.entries()) {
    if (index % 3 === 1) await consumer.settle([landed(delivery)])
    if (index % 4 === 2) await consumer.settle([again(delivery, 0)])
  }
  await take(consumer, 600)
  const reopened = some.flatMap(({ batch, position }, index) =>
    index % 6 === 1 ? [{ batch, attempt: 4, offset: position.offset }] : [],
  )
  await eventLog.reopen(stream(), group, reopened)
  const once = { id: 'r', fingerprint: 'f', ttlMs: 3_600_000 }
  await eventLog.append(stream(), [batchOf(['last'])], { producer: { id: 'p', epoch: 1, sequence: 1 }, once })
  await eventLog.describe()
  const crashed = copyDirectory(t, closed)
  await eventLog.close()
  return { closed, crashed }
}

/** The result of opening a copy and reading all of it. */
export type Judged =
  | { readonly refused: MillraceError }
  /** The log failed while it was read. */
  | { readonly ended: Error }
  | { readonly read: Reading }

export interface Reading {
  readonly accepted: number
  readonly lost: number
  readonly damagedEvents: number
  /** Whether ledger and audit agree at the end. */
  readonly balanced: boolean
  /** `group:id` → attempt, of all undamaged events that were handed out. */
  readonly events: ReadonlyMap<string, number>
}

/** Opens the log, takes and settles everything, and closes it. */
export async function judge(dataDir: string): Promise<Judged> {
  let eventLog: EventLog
  try {
    eventLog = await openEmbedded(dataDir)
  } catch (thrown) {
    if (thrown instanceof MillraceError) return { refused: thrown }
    throw thrown
  }
  let ended: Error | null = null
  void eventLog.failed.then((reason) => {
    ended = reason
  })
  try {
    return { read: await readAll(eventLog) }
  } catch (thrown) {
    if (ended === null) throw thrown
    return { ended }
  } finally {
    await eventLog.close()
  }
}

async function readAll(eventLog: EventLog): Promise<Reading> {
  // As a server does when it starts. Where a repair could not save topics or groups, this recreates them.
  await eventLog.declare(topic, { partitions: 1, groups })
  const events = new Map<string, number>()
  let damagedEvents = 0
  const reading = { accepted: 0, lost: 0, balanced: true }
  for (const { name } of groups) {
    const consumer = await eventLog.consume(topic, name, { leaseMs })
    for (let some = await take(consumer, 5000); some.length > 0; some = await take(consumer, 5000)) {
      for (const delivery of some) {
        if (delivery.batch.damaged) damagedEvents += delivery.batch.count
        else for (const id of idsIn(delivery)) events.set(`${name}:${id}`, delivery.attempt)
      }
      await consumer.settle(some.map(landed))
    }
    const {
      accepted,
      reopened,
      waiting,
      landed: done,
      dead,
      lost,
      auditedWaiting,
    } = await describeGroup(eventLog, name)
    reading.accepted += accepted
    reading.lost += lost!
    const adds = accepted + reopened === waiting + done + dead + lost!
    if (!adds || waiting !== 0 || auditedWaiting !== 0) reading.balanced = false
  }
  return { ...reading, damagedEvents, events }
}

/** Changes bytes of a file in place. */
export function changeFile(path: string, change: (bytes: Buffer) => Buffer | undefined): void {
  const bytes = readFileSync(path)
  writeFileSync(path, change(bytes) ?? bytes)
}

/** The pages of log.db that belong to a table or index, each with its number, the first being 1. */
export function pagesOf(dataDir: string): { name: string; page: number; type: string }[] {
  const database = new DatabaseSync(join(dataDir, 'log.db'))
  try {
    const rows = database.prepare('SELECT name, pageno AS page, pagetype AS type FROM dbstat').all()
    return rows as unknown as { name: string; page: number; type: string }[]
  } finally {
    database.close()
  }
}
