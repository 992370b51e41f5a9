// `millrace tail`: prints events as they are accepted.
//
// It prints the times and the data as they were sent, so it reads the events of the wire, not those that a handler gets.

import { eventJson } from '../api/http/event-json.ts'
import { eventOfWire, receiptOf } from '../client/event-of-wire.ts'
import type { LiveItem, SubscribeOptions } from '../client/live-client.ts'
import { loadConfig } from '../config/config.ts'
import { defaultContentType, defaultSource, defaultTopic, type Event, eventIdTextOf } from '../event/event.ts'
import { isJsonData } from '../event/event-data.ts'
import { formatRfc3339 } from '../lib/rfc3339.ts'
import type { OnSlow } from '../pipeline/live.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'
import { type CommandInput, textOption, textsOption } from './command.ts'
import { connectToServer } from './connect-to-server.ts'
import { exitCodeOfSignal, exitCodes } from './exit-codes.ts'
import { Interruption } from './interruption.ts'
import { LineWriter } from './line-writer.ts'
import { momentOf } from './moment.ts'
import { cutText, formatTime, visibleText } from './shown-text.ts'
import { formatCountOf } from './table.ts'
import type { Terminal } from './terminal.ts'

const minDataLength = 20

export async function run(input: CommandInput): Promise<number> {
  const { terminal, configInput } = input
  const config = loadConfig({ ...configInput, isForClient: true })
  const maxEvents = Number(textOption(input, 'count') ?? Number.POSITIVE_INFINITY)
  const topic = textOption(input, 'topic') ?? defaultTopic
  const interruption = new Interruption()
  const unread = new AbortController()
  const lines = new LineWriter(terminal, () => unread.abort())
  const client = connectToServer(config)
  const signal = AbortSignal.any([interruption.signal, unread.signal])
  const items = client.follow(optionsOf(input, topic, signal), (event) =>
    storedEventOf(eventOfWire(event), receiptOf(event), topic),
  )
  const toLine = terminal.jsonLines ? jsonLine : (event: StoredEvent) => textLine(event, terminal)
  const noteOf = notes()
  let events = 0
  try {
    for await (const item of items) {
      if (item.is === 'event') {
        lines.add(toLine(item.event))
        if (lines.isFull) await lines.written()
        if (++events === maxEvents) break
      } else {
        const note = noteOf(item)
        if (note === null) continue
        await lines.written()
        terminal.note(note)
      }
    }
    await lines.written()
  } finally {
    interruption.close()
    client.close()
  }
  return interruption.received === 'SIGTERM' ? exitCodeOfSignal('SIGTERM') : exitCodes.done
}

function optionsOf(input: CommandInput, topic: string, signal: AbortSignal): SubscribeOptions {
  const onSlow = textOption(input, 'onSlow')
  const attributes = textsOption(input, 'attribute').map((text) => {
    const at = text.indexOf('=')
    return [text.slice(0, at), text.slice(at + 1)] as const
  })
  return {
    topic,
    types: textsOption(input, 'type'),
    sources: textsOption(input, 'source'),
    subjects: textsOption(input, 'subject'),
    attributes: Object.fromEntries(attributes),
    from: fromOf(textOption(input, 'from') ?? 'now'),
    ...(onSlow === undefined ? {} : { onSlow: onSlow as OnSlow }),
    signal,
  }
}

/** An age as a time; the server reads the rest. */
function fromOf(text: string): string {
  const [, age] = /^-?(\d+[smhd])$/.exec(text) ?? []
  return age === undefined ? text : formatRfc3339(momentOf('--from', age, Date.now())!)
}

/** As it would be read from the database. */
function storedEventOf(event: Event, receivedAtMicros: number, topic: string): StoredEvent {
  const source = event.source || defaultSource
  const dataContentType = event.dataContentType || defaultContentType
  return {
    ...event,
    ...{ eventId: eventIdTextOf(source, event.id), source, topic, dataContentType, receivedAtMicros },
    timeMicros: event.timeMicros ?? receivedAtMicros,
    data: event.data.length === 0 ? null : event.data,
    isJson: isJsonData(event.data, dataContentType),
    dataOmitted: null,
  }
}

/** Line breaks in data that is JSON are between its values. */
function jsonLine(event: StoredEvent): string {
  return eventJson(event).replaceAll(/[\r\n]/g, ' ')
}

function textLine(event: StoredEvent, terminal: Terminal): string {
  const { timeMicros, type, source, subject, key } = event
  const [time, shownType, shownSource] = [formatTime(timeMicros), visibleText(type), visibleText(source)]
  const about = visibleText(subject || key) || '–'
  const used = time.length + shownType.length + shownSource.length + about.length + 8
  return [
    terminal.paint('dim', time),
    terminal.paint('cyan', shownType),
    terminal.paint('dim', shownSource),
    terminal.paint('yellow', about),
    cutText(dataOf(event), Math.max(minDataLength, terminal.width - used)),
  ].join('  ')
}

function dataOf({ data, isJson, dataContentType }: StoredEvent): string {
  if (data === null) return ''
  if (isJson || dataContentType.startsWith('text/')) return Buffer.from(data).toString()
  return `${formatCountOf(data.length, 'byte')} of ${dataContentType}`
}

/** What is said of an item that is no event; null: nothing. */
function notes(): (item: Exclude<LiveItem<StoredEvent>, { is: 'event' }>) => string | null {
  let isCut = false
  return (item) => {
    switch (item.is) {
      case 'gap': {
        const { dropped, reason, from } = item
        if (dropped === null) return `missed events (${reason}): read what is left of them with --from ${from}`
        return `missed ${formatCountOf(dropped, 'event')} (${reason}): read them again with --from ${from}`
      }
      case 'disconnected':
        isCut = true
        return `${item.error.message}; trying again`
      case 'connected':
        if (!isCut) return null
        isCut = false
        return 'connected: it goes on where it was'
      case 'caught_up':
        return null
    }
  }
}
