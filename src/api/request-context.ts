// The request id that a caller sends, for the log: a value that is safe to log, or a new one.

import { randomUUID } from 'node:crypto'

const requestIdPattern = /^[A-Za-z0-9._~:/+=@-]{1,128}$/

/** The caller's request id when it is short and plain, otherwise a new one. */
export function requestIdOf(given: string | undefined): string {
  return given !== undefined && requestIdPattern.test(given) ? given : randomUUID()
}
