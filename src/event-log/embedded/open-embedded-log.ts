// Opens the embedded log: the data directory, the thread that owns log.db, and the state of the main thread.

import { DatabaseThread, threadScript } from '../../lib/sqlite/database-thread.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import type { CommitStats, EventLog } from '../event-log.ts'
import { describeHolder, prepareDataDirectory, removeHolder, writeHolder } from './data-directory.ts'
import { EmbeddedLog } from './embedded-log.ts'
import { GroupCommit } from './group-commit.ts'
import { openingError, otherFormatError } from './log-failure.ts'
import { logBytes, logFiles } from './log-files.ts'
import { LogState } from './log-state.ts'
import { defaultMaxRecentBytes } from './recent-entries.ts'
import type { LogSnapshot, LogThread, LogThreadData, LogThreadMethods } from './thread-protocol.ts'

const checkRoomEveryMs = 5_000

export interface EmbeddedLogConfig {
  /** Created when missing. One log in one process uses it at a time. */
  readonly dataDir: string
  /** Appends and reopenings are refused before the free disk space falls below this; other writes may use it. */
  readonly diskReserveBytes: number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Called after each commit, with what it stored for producers. */
  readonly onCommit?: (stats: CommitStats) => void
  /** Called when the disk is found to be full, and when appends fit again. */
  readonly onDiskFull?: (isFull: boolean) => void
  /** Max bytes of the newest entries kept in memory; 64 MiB by default. */
  readonly maxRecentBytes?: number
}

/**
 * Opens the log, or creates a new one. Leases of an earlier opening have ended: unsettled deliveries are redelivered.
 * Errors: `failed_precondition` (the directory is in use or has the format of another version), `corrupt` (the log is
 * damaged and must be repaired first), `disk_full`, `unavailable` (the directory cannot be written).
 */
export async function openEmbeddedLog(config: EmbeddedLogConfig): Promise<EventLog> {
  const { dataDir, diskReserveBytes, now } = config
  prepareDataDirectory(dataDir)
  const files = logFiles(dataDir)
  const data: LogThreadData = { dataDir, diskReserveBytes }
  const thread: LogThread = new DatabaseThread<LogThreadMethods>(threadScript('log-thread', import.meta.url), data)
  try {
    const state = new LogState(await openThread(thread, dataDir), config.maxRecentBytes ?? defaultMaxRecentBytes)
    writeHolder(files.holder, now())
    const groupCommit = new GroupCommit({
      thread,
      state,
      now,
      onCommit: config.onCommit ?? (() => {}),
      onDiskFull: config.onDiskFull ?? (() => {}),
    })
    // A failed check has failed the log too, or the log is closed.
    const roomCheck = setInterval(() => void groupCommit.checkRoom().catch(() => {}), checkRoomEveryMs)
    roomCheck.unref()
    return new EmbeddedLog({
      thread,
      state,
      groupCommit,
      usedBytes: () => logBytes(files),
      onClosed: () => {
        clearInterval(roomCheck)
        removeHolder(files.holder)
      },
    })
  } catch (thrown) {
    await thread.close()
    throw thrown instanceof SqliteFailure ? openingError(thrown, dataDir, describeHolder(files.holder)) : thrown
  }
}

async function openThread(thread: LogThread, dataDir: string): Promise<LogSnapshot> {
  const reply = await thread.call('open', null)
  if ('otherFormat' in reply) throw otherFormatError(reply.otherFormat, dataDir)
  return reply.snapshot
}
