// Asks before something cannot be undone.

import { createInterface } from 'node:readline/promises'
import { MillraceError } from '../errors.ts'

/** Throws `failed_precondition` where there is nobody to ask. @param command for that message. */
export function refuseWithoutTerminal(command: string): void {
  if (process.stdin.isTTY) return
  throw new MillraceError(
    'failed_precondition',
    `${command} asks before it removes anything, and there is nobody to ask; add --yes`,
  )
}

/** Whether the answer is yes. */
export async function confirm(question: string): Promise<boolean> {
  const dialogue = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await dialogue.question(`${question} (yes/no) `)).trim())
  } finally {
    dialogue.close()
  }
}
