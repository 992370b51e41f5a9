// `millrace clean`: removes Millrace's files from the data directory, or its keys from Redis, and nothing else.

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { cleanSharedLog, countSharedLog, inspectEventLog } from '../event-log/open-event-log.ts'
import { SqliteFailure } from '../lib/sqlite/failure.ts'
import type { CommandInput } from './command.ts'
import { confirm, refuseWithoutTerminal } from './confirm.ts'
import { exitCodes } from './exit-codes.ts'
import { formatCountOf } from './table.ts'
import type { Terminal } from './terminal.ts'

/**
 * The databases with SQLite's side files, files left by a repair, the log's mark, the first key, and the files that name the server. The
 * directory of uploaded files is known by its mark.
 */
const ours = [
  /^(?:log|store)\.db(?:-wal|-shm|-journal)?$/,
  /^log\.(?:damaged-\d+|refused|repairing|scratch)\.db(?:-wal|-shm|-journal)?$/,
  /^log\.(?:damaged-\d+\.refused-wal|refused\.db-wal\.part)$/,
  /^log\.mark$/,
  /^admin\.key$/,
  /^(?:holder\.json|addresses\.json(?:\.new)?)$/,
]

export async function run({ configInput, options, terminal }: CommandInput): Promise<number> {
  const { dataDir, redisUrl, redisPrefix } = loadConfig({ ...configInput, isForClient: true })
  const isConfirmed = options.yes === true
  if (redisUrl !== null) return await cleanShared({ redisUrl, redisPrefix }, isConfirmed, terminal)
  let files = filesIn(dataDir)
  if (files.length > 0) {
    if (!isConfirmed) refuseWithoutTerminal('clean')
    refuseWhileInUse(dataDir)
    // The check may have cleaned up after a killed server, or copied the WAL of a damaged log, so list again.
    files = filesIn(dataDir)
    if (
      !isConfirmed &&
      !(await confirm(`Remove ${files.join(', ')} from ${dataDir}? This deletes all events in it.`))
    ) {
      terminal.note('nothing was removed')
      return exitCodes.failed
    }
  }
  for (const name of files) rmSync(join(dataDir, name), { recursive: true, force: true })
  if (terminal.json) terminal.printJson({ data_dir: dataDir, removed: files })
  else if (files.length === 0) terminal.print(`Nothing to remove: ${dataDir} has no files of Millrace.`)
  else terminal.print(`Removed ${files.join(', ')} from ${dataDir}.`)
  return exitCodes.done
}

/** Rows that have landed in PostgreSQL are not touched. */
async function cleanShared(
  config: { readonly redisUrl: string; readonly redisPrefix: string },
  isConfirmed: boolean,
  terminal: Terminal,
): Promise<number> {
  const { redisPrefix } = config
  const { keys, processes } = await countSharedLog(config)
  if (keys > 0) {
    if (!isConfirmed) refuseWithoutTerminal('clean')
    if (processes > 0) {
      const advice = 'stop them first; a killed process disappears when its lease expires'
      throw new MillraceError(
        'failed_precondition',
        `the log "${redisPrefix}" on Redis is in use by ${formatCountOf(processes, 'process', 'processes')}: ${advice}`,
      )
    }
    const question = `Remove ${formatCountOf(keys, 'key')} beginning with "${redisPrefix}:" from Redis? This deletes all events that have not landed; landed rows stay in PostgreSQL.`
    if (!isConfirmed && !(await confirm(question))) {
      terminal.note('nothing was removed')
      return exitCodes.failed
    }
  }
  const removed = keys === 0 ? 0 : await cleanSharedLog(config)
  if (terminal.json) terminal.printJson({ redis_prefix: redisPrefix, removed_keys: removed })
  else if (removed === 0) terminal.print(`Nothing to remove: Redis has no keys that begin with "${redisPrefix}:".`)
  else
    terminal.print(
      `Removed ${formatCountOf(removed, 'key')} beginning with "${redisPrefix}:" from Redis. Landed rows stay in PostgreSQL.`,
    )
  return exitCodes.done
}

function filesIn(dataDir: string): string[] {
  if (!existsSync(dataDir)) return []
  return readdirSync(dataDir).filter(
    (name) => ours.some((each) => each.test(name)) || existsSync(join(dataDir, name, 'millrace-files.json')),
  )
}

/** Checks the lock on the log, not holder.json, which a killed process leaves behind. */
function refuseWhileInUse(dataDir: string): void {
  let inUseBy: string | null
  try {
    inUseBy = inspectEventLog({ dataDir }).inUseBy
  } catch (error) {
    // The log has a newer format or is unreadable. It is not in use, because the lock is checked before that.
    if (error instanceof MillraceError || error instanceof SqliteFailure) return
    throw error
  }
  if (inUseBy === null) return
  throw new MillraceError('failed_precondition', `the data directory ${dataDir} is in use by ${inUseBy}; stop it first`)
}
