// The exit codes of the commands.

import { MillraceError } from '../errors.ts'

export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  /** The data directory is damaged; `millrace doctor` reports how. */
  damaged: 3,
  /** SIGINT interrupted the command. */
  interrupted: 130,
  /** SIGTERM ended the command, or a second SIGTERM ended a server that was still stopping. */
  terminated: 143,
} as const

export function exitCodeOfError(error: unknown): number {
  return error instanceof MillraceError && error.code === 'corrupt' ? exitCodes.damaged : exitCodes.failed
}

export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated
}
