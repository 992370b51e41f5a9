// How many files the process may have open. Node has already raised its soft limit to the hard one.

import { readFileSync } from 'node:fs'

/** A server without clients has about 50 open; each connection adds one. */
const minOpenFiles = 256

/** Why a server cannot run with the limit of this process; null when it can, or when the system does not tell. */
export function openFileProblem(): string | null {
  const limit = openFileLimit()
  if (limit === null || limit >= minOpenFiles) return null
  return `the process may have ${limit} files open, and a server needs ${minOpenFiles} and one for each connection: raise the limit (ulimit -n)`
}

function openFileLimit(): number | null {
  try {
    const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return limit === undefined ? null : Number(limit)
  } catch {
    return null
  }
}
