// A landed event as JSON text. Its data is inserted as the text that was sent, never parsed, so that no digit is lost.

import type { StoredEvent } from '../../pipeline/stored-event.ts'
import { formatRfc3339 } from './rfc3339.ts'

/** One event as JSON text. */
export function eventJson(event: StoredEvent): string {
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
  return `${fields.slice(0, -1)}${dataMember(event)}}`
}

function dataMember({ dataJson, dataBytes, dataOmitted }: StoredEvent): string {
  if (dataOmitted !== null) return `,"data_omitted":${JSON.stringify(dataOmitted)}`
  if (dataJson !== null) return `,"data":${dataJson}`
  if (dataBytes === null) return ''
  const base64 = Buffer.from(dataBytes.buffer, dataBytes.byteOffset, dataBytes.byteLength).toString('base64')
  return `,"data_base64":"${base64}"`
}
