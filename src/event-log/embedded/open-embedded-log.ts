// Opens the embedded log: the data directory, the thread that owns log.db, and its proxy in this thread.

import { DatabaseThread } from '../../lib/sqlite/database-thread.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { threadScript } from '../../lib/thread-script.ts'
import type { CommitStats, EventLog } from '../event-log.ts'
import { describeHolder, prepareDataDirectory, removeHolder, writeHolder } from './file/data-directory.ts'
import { logFiles } from './file/log-files.ts'
import type { LogThread, LogThreadData, LogThreadMethods } from './protocol.ts'
import { EmbeddedLog } from './proxy/embedded-log.ts'
import { LogCalls } from './proxy/log-calls.ts'
import { openingError, otherFormatError } from './proxy/log-failure.ts'
import { defaultMaxRecentBytes, RecentEntries } from './proxy/recent-entries.ts'

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
  const { dataDir, diskReserveBytes, now, onCommit = () => {}, onDiskFull = () => {} } = config
  prepareDataDirectory(dataDir)
  const files = logFiles(dataDir)
  const { maxRecentBytes = defaultMaxRecentBytes } = config
  const data: LogThreadData = { dataDir, diskReserveBytes, maxRecentBytes }
  const thread: LogThread = new DatabaseThread<LogThreadMethods>(
    threadScript('engine/log-thread', import.meta.url),
    data,
    true,
  )
  try {
    const opened = await thread.call('open', null)
    if ('otherFormat' in opened) throw otherFormatError(opened.otherFormat, dataDir)
    writeHolder(files.holder, now())
    const recent = new RecentEntries(maxRecentBytes, opened.lastAppendNumber)
    const options = { calls: new LogCalls(thread), epoch: opened.epoch, recent, now, onCommit, onDiskFull }
    const onClosed = () => {
      clearInterval(roomCheck)
      removeHolder(files.holder)
    }
    const eventLog = new EmbeddedLog({ ...options, onClosed })
    // A failed check has failed the log too, or the log is closed.
    const roomCheck = setInterval(() => void eventLog.checkRoom().catch(() => {}), checkRoomEveryMs)
    roomCheck.unref()
    return eventLog
  } catch (thrown) {
    await thread.close()
    throw thrown instanceof SqliteFailure ? openingError(thrown, dataDir, describeHolder(files.holder)) : thrown
  }
}
