// F9: scanning messages in one process, without I/O: our scan with all its checks, or JSON.parse of every payload.

import { MessageScanner } from '../../src/event/message-scan.ts'
import { EventReader, textOf } from '../../src/event/record-batch.ts'
import { runBlock } from '../block.ts'
import { MessageFactory } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'

export interface ScanOptions {
  readonly check: 'scan' | 'JSON.parse'
  readonly eventsPerMessage: number
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
}

/** More messages than fit in the CPU caches, as with messages from a socket. */
const messagesInMemory = 500

const scanner = new MessageScanner()
const reader = new EventReader()

/** Each function returns how many valid events it found. */
const checks = {
  scan: (message: Uint8Array): number => {
    scanner.scan(message)
    return scanner.count - scanner.refusals.length
  },
  'JSON.parse': (message: Uint8Array): number => {
    let events = 0
    reader.reset(message)
    while (reader.next()) {
      JSON.parse(textOf(message, reader.fields.dataStart, reader.fields.dataEnd))
      events++
    }
    return events
  },
}

await runBlock(async ({ check, eventsPerMessage, payloadBytes, warmSeconds, seconds }: ScanOptions) => {
  const factory = new MessageFactory({ eventsPerMessage, payloadBytes })
  const messages = Array.from({ length: messagesInMemory }, () => factory.next())
  const eventsPerRound = messagesInMemory * eventsPerMessage
  let sound = 0
  const rounds = (roundSeconds: number): number => {
    const endMs = performance.now() + roundSeconds * 1000
    let done = 0
    for (; performance.now() < endMs; done++) for (const message of messages) sound += checks[check](message)
    return done
  }
  rounds(warmSeconds)
  sound = 0
  const cpuBefore = cpuSecondsOf(process.pid)
  const startMs = performance.now()
  const events = rounds(seconds) * eventsPerRound
  return {
    events,
    seconds: (performance.now() - startMs) / 1000,
    serviceCpuSeconds: cpuSecondsOf(process.pid) - cpuBefore,
    durability: 'none',
    problems: sound === events ? [] : [`${sound} of ${events} events were valid`],
    details: {},
  }
})
