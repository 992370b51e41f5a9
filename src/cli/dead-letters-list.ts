// `millrace dead-letters list`: lists dead letters, or counts them by cause.

import type { Client } from '../client/connect.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterSummary } from '../pipeline/dead-letters.ts'
import { deadLetter, deadLetterCause } from '../wire/administration.ts'
import { type CommandInput, textOption } from './command.ts'
import { deadLetterFilterOf } from './dead-letter-options.ts'
import { exitCodes } from './exit-codes.ts'
import { cutText, formatTime, visibleText } from './shown-text.ts'
import { formatCount, formatTable } from './table.ts'
import type { Terminal } from './terminal.ts'
import { withClient } from './with-client.ts'

const defaultLimit = 100
const maxPage = 1000
const maxMessageLength = 60

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const filter = deadLetterFilterOf(input)
  await withClient(input, async (client) => {
    if (input.options.byCause === true) {
      printCauses(await client.administration.groupDeadLetters(filter), terminal)
    } else {
      const limit = Number(textOption(input, 'limit') ?? defaultLimit)
      printLetters(await listUpTo(client, filter, limit), terminal)
    }
  })
  return exitCodes.done
}

interface Listed {
  readonly letters: readonly DeadLetterSummary[]
  readonly hasMore: boolean
}

async function listUpTo(client: Client, filter: DeadLetterFilter, limit: number): Promise<Listed> {
  const letters: DeadLetterSummary[] = []
  let cursor: string | undefined
  for (;;) {
    const query = { ...filter, limit: Math.min(maxPage, limit - letters.length), cursor }
    const { deadLetters, nextCursor } = await client.administration.listDeadLetters(query)
    letters.push(...deadLetters)
    if (nextCursor === null) return { letters, hasMore: false }
    if (letters.length >= limit) return { letters, hasMore: true }
    cursor = nextCursor
  }
}

function printLetters({ letters, hasMore }: Listed, terminal: Terminal): void {
  if (terminal.json) {
    terminal.printJson({ dead_letters: letters.map(deadLetter.toJson), has_more: hasMore })
    return
  }
  if (letters.length === 0) {
    terminal.print('No dead letters match.')
    return
  }
  const rows = letters.map((letter) => [
    formatTime(letter.deadAtMicros),
    letter.deadLetterId,
    visibleText(letter.topic),
    visibleText(letter.group),
    visibleText(letter.type),
    visibleText(letter.code),
    cutText(letter.message, maxMessageLength),
    letter.redrivenAtMicros === null ? 'no' : formatTime(letter.redrivenAtMicros),
  ])
  terminal.print(
    formatTable(['DEAD AT', 'ID', 'TOPIC', 'GROUP', 'TYPE', 'CODE', 'MESSAGE', 'REDRIVEN'], rows, terminal),
  )
  if (hasMore) terminal.note(`there are more; raise --limit, or narrow the list with a filter`)
}

function printCauses(causes: readonly DeadLetterCause[], terminal: Terminal): void {
  if (terminal.json) {
    terminal.printJson({ causes: causes.map(deadLetterCause.toJson) })
    return
  }
  if (causes.length === 0) {
    terminal.print('No dead letters match.')
    return
  }
  const rows = causes.map((cause) => [
    formatCount(cause.deadLetters),
    visibleText(cause.topic),
    visibleText(cause.group),
    visibleText(cause.type),
    visibleText(cause.code),
    cutText(cause.message, maxMessageLength),
    formatTime(cause.firstDeadAtMicros),
    formatTime(cause.lastDeadAtMicros),
  ])
  terminal.print(formatTable(['EVENTS', 'TOPIC', 'GROUP', 'TYPE', 'CODE', 'CAUSE', 'FIRST', 'LAST'], rows, terminal))
}
