// A landed event as JSON text. Its data is inserted as the text that was sent, never parsed, so that no digit is lost.

import { formatRfc3339 } from '../../lib/rfc3339.ts'
import type { StoredEvent } from '../../pipeline/stored-event.ts'

/** JSON text in pieces: large data stays the bytes that it is, because its text would be copied several times. */
export type JsonPieces = readonly (string | Uint8Array)[]

const minPieceBytes = 16 * 1024

/** One event as JSON text. */
export function eventJson(event: StoredEvent): string {
  return eventPieces(event).map(textOf).join('')
}

/** The same in pieces. */
export function eventPieces(event: StoredEvent): JsonPieces {
  const fields = JSON.stringify({
    event_id: event.eventId,
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.subject,
    time: formatRfc3339(event.timeMicros),
    received_at: formatRfc3339(event.receivedAtMicros),
    topic: event.topic,
    priority: event.lane,
    key: event.key,
    data_content_type: event.dataContentType,
    attributes: Object.fromEntries(event.attributes),
  })
  const { data, isJson, dataOmitted } = event
  const start = fields.slice(0, -1)
  if (dataOmitted !== null) return [`${start},"data_omitted":${JSON.stringify(dataOmitted)}}`]
  if (data === null) return [fields]
  if (!isJson) return [`${start},"data_base64":"${bufferOf(data).toString('base64')}"}`]
  if (data.length < minPieceBytes) return [`${start},"data":${textOf(data)}}`]
  return [`${start},"data":`, data, '}']
}

function textOf(piece: string | Uint8Array): string {
  return typeof piece === 'string' ? piece : bufferOf(piece).toString()
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
