// Asks for confirmation before something that cannot be undone.

import { createInterface } from 'node:readline/promises'
import { MillraceError } from '../errors.ts'

/** Throws `failed_precondition` when stdin is not a terminal. @param command its name, for the message. */
export function refuseWithoutTerminal(command: string): void {
  if (process.stdin.isTTY) return
  throw new MillraceError(
    'failed_precondition',
    `${command} asks for confirmation, and stdin is not a terminal; add --yes to confirm`,
  )
}

/** Asks on stderr; resolves with whether the answer is yes. */
export async function confirm(question: string): Promise<boolean> {
  const dialogue = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await dialogue.question(`${question} (yes/no) `)).trim())
  } finally {
    dialogue.close()
  }
}
