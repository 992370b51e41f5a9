// `millrace clean`: removes what Millrace has put into the data directory, and nothing else.

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { cleanSharedLog, countSharedLog, inspectEventLog } from '../event-log/open-event-log.ts'
import { SqliteFailure } from '../lib/sqlite/failure.ts'
import type { CommandInput } from './command.ts'
import { confirm, refuseWithoutTerminal } from './confirm.ts'
import { exitCodes } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** Databases with what SQLite keeps beside them, what a repair leaves, the mark of the log, and who has the directory. */
const ours = [
  /^(?:log|store)\.db(?:-wal|-shm|-journal)?$/,
  /^log\.(?:damaged-\d+|refused|repairing|scratch)\.db(?:-wal|-shm|-journal)?$/,
  /^log\.(?:damaged-\d+\.refused-wal|refused\.db-wal\.part)$/,
  /^log\.mark$/,
  /^(?:holder\.json|addresses\.json(?:\.new)?)$/,
]

export async function run({ configInput, options, terminal }: CommandInput): Promise<number> {
  const { dataDir, redisUrl, redisPrefix } = loadConfig({ ...configInput, isForClient: true })
  const isTold = options.yes === true
  if (redisUrl !== null) return await cleanShared({ redisUrl, redisPrefix }, isTold, terminal)
  let files = filesIn(dataDir)
  if (files.length > 0) {
    if (!isTold) refuseWithoutTerminal('clean')
    refuseWhileInUse(dataDir)
    // Looking whether it is in use may have tidied up after a killed server, or kept the WAL of a damaged log.
    files = filesIn(dataDir)
    if (!isTold && !(await confirm(`Remove ${files.join(', ')} from ${dataDir}? All events in it are gone then.`))) {
      terminal.note('nothing was removed')
      return exitCodes.failed
    }
  }
  for (const name of files) rmSync(join(dataDir, name), { force: true })
  if (terminal.json) terminal.printJson({ data_dir: dataDir, removed: files })
  else if (files.length === 0) terminal.print(`There is nothing of Millrace in ${dataDir}.`)
  else terminal.print(`Removed ${files.join(', ')} from ${dataDir}.`)
  return exitCodes.done
}

/** Rows that have landed are not touched: they are what all this was for. */
async function cleanShared(
  config: { readonly redisUrl: string; readonly redisPrefix: string },
  isTold: boolean,
  terminal: Terminal,
): Promise<number> {
  const { redisPrefix } = config
  const { keys, consumers } = await countSharedLog(config)
  if (keys > 0) {
    if (!isTold) refuseWithoutTerminal('clean')
    if (consumers > 0) {
      const advice = 'stop all processes first; of one that was killed this is over after its lease'
      throw new MillraceError(
        'failed_precondition',
        `the log "${redisPrefix}" on Redis is in use by ${consumers} consumers: ${advice}`,
      )
    }
    const question = `Remove all ${keys} keys that begin with "${redisPrefix}:" from Redis? All events that have not landed are gone then; what has landed stays in PostgreSQL.`
    if (!isTold && !(await confirm(question))) {
      terminal.note('nothing was removed')
      return exitCodes.failed
    }
  }
  const removed = keys === 0 ? 0 : await cleanSharedLog(config)
  if (terminal.json) terminal.printJson({ redis_prefix: redisPrefix, removed_keys: removed })
  else if (removed === 0) terminal.print(`There is nothing of Millrace under "${redisPrefix}:" on Redis.`)
  else
    terminal.print(
      `Removed ${removed} keys that began with "${redisPrefix}:" from Redis. Rows that have landed are still in PostgreSQL.`,
    )
  return exitCodes.done
}

function filesIn(dataDir: string): string[] {
  if (!existsSync(dataDir)) return []
  return readdirSync(dataDir).filter((name) => ours.some((each) => each.test(name)))
}

/** The lock on the log tells, not the file that names its holder: that may be left from a process that was killed. */
function refuseWhileInUse(dataDir: string): void {
  let inUseBy: string | null
  try {
    inUseBy = inspectEventLog({ dataDir }).inUseBy
  } catch (error) {
    // A log of a newer version, or one that cannot be read: nobody has it open, or its lock would have been met first.
    if (error instanceof MillraceError || error instanceof SqliteFailure) return
    throw error
  }
  if (inUseBy === null) return
  throw new MillraceError('failed_precondition', `the data directory ${dataDir} is in use by ${inUseBy}; stop it first`)
}
