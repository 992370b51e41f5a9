// Loaded with `node --import`: while the file `commits-are-stuck` is in the working directory, a COMMIT blocks its
// thread for three seconds, as on a disk that hangs.
//
// It does not use strace, because a process that strace delays cannot be killed.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const realExec = DatabaseSync.prototype.exec

DatabaseSync.prototype.exec = function exec(this: DatabaseSync, sql: string): void {
  if (/COMMIT/.test(sql) && existsSync('commits-are-stuck')) spawnSync('sleep', ['3'])
  realExec.call(this, sql)
}
