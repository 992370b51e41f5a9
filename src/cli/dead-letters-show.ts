// `millrace dead-letters show`: prints one dead letter with its event.

import { deadLetterDetailJson } from '../api/http/administration-json.ts'
import type { DeadLetterDetail } from '../pipeline/administration.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'
import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { cutText, formatTime, visibleText } from './shown-text.ts'
import { formatCountOf } from './table.ts'
import { withClient } from './with-client.ts'

/** Longer data is cut; --output json prints all of it. */
const maxDataLength = 4000

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const [id = ''] = input.arguments
  const detail = await withClient(input, (client) => client.administration.getDeadLetter(id))
  terminal.print(terminal.json ? deadLetterDetailJson(detail) : describe(detail))
  return exitCodes.done
}

function describe({ letter, event, damagedBytes }: DeadLetterDetail): string {
  const { topic, group, redrivenAtMicros, redrives } = letter
  const facts: [string, string][] = [
    ['dead letter', letter.deadLetterId],
    ['event', letter.eventId ?? 'none: the log entry is damaged'],
    ['given up by', `group ${group} of topic ${topic}`],
    ['code', letter.code],
    ['message', visibleText(letter.message)],
    ['attempts', String(letter.attempts)],
    ['died', formatTime(letter.deadAtMicros)],
    [
      'redriven',
      redrivenAtMicros === null
        ? 'no'
        : `${formatTime(redrivenAtMicros)} (${formatCountOf(redrives, 'time')} in total)`,
    ],
  ]
  const tries = letter.history.map(({ attempt, atMicros, code, message, position }): [string, string] => [
    `attempt ${attempt}`,
    `${formatTime(atMicros)}  ${code}: ${visibleText(message)}  at ${position}`,
  ])
  const content = event === null ? damaged(damagedBytes) : factsOf(event)
  return [...facts, ...tries, ...content].map(([name, value]) => `${name.padEnd(12)} ${value}`).join('\n')
}

function factsOf(event: StoredEvent): [string, string][] {
  return [
    ['id', visibleText(event.id)],
    ['source', visibleText(event.source)],
    ['type', visibleText(event.type)],
    ['time', formatTime(event.timeMicros)],
    ['received', formatTime(event.receivedAtMicros)],
    ...(event.key === '' ? [] : [['key', visibleText(event.key)] as [string, string]]),
    ['data', cutText(dataOf(event), maxDataLength)],
  ]
}

function dataOf({ data, isJson, dataContentType }: StoredEvent): string {
  if (data === null) return 'none'
  if (isJson) return Buffer.from(data).toString()
  return `${formatCountOf(data.length, 'byte')} of ${dataContentType}, base64 ${Buffer.from(data).toString('base64')}`
}

function damaged(bytes: Uint8Array | null): [string, string][] {
  return [['bytes', bytes === null ? 'none' : cutText(Buffer.from(bytes).toString('base64'), maxDataLength)]]
}
