// Loaded with `node --import`: while the file `commits-are-stuck` is in the working directory, a COMMIT stands still for
// three seconds in the thread that calls it, as it does on a disk that does not answer.
//
// Not by strace: a process that it holds back cannot be killed either.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const realExec = DatabaseSync.prototype.exec

DatabaseSync.prototype.exec = function exec(this: DatabaseSync, sql: string): void {
  if (/COMMIT/.test(sql) && existsSync('commits-are-stuck')) spawnSync('sleep', ['3'])
  realExec.call(this, sql)
}
