import { Link } from 'wouter'
import type { StoredEvent } from '../api.ts'
import { Time } from '../components/values.tsx'
import { eventPath } from '../paths.ts'

const maxPreviewLength = 160

/** One event in one line; the line is a link to its journey. */
export function EventLine({ event }: { readonly event: StoredEvent }) {
  return (
    <Link className="event-line" href={eventPath(event.event_id)}>
      <Time of={event.received_at} />
      <span className="type">{event.type}</span>
      <span className="source">{event.source}</span>
      <span className="id">{event.id}</span>
      <span className="preview">{previewOf(event)}</span>
    </Link>
  )
}

function previewOf({ data, data_base64: base64, data_omitted: omitted }: StoredEvent): string {
  if (omitted !== undefined) return 'data left out'
  if (base64 !== undefined) return `${base64.slice(0, maxPreviewLength)} (base64)`
  return data === undefined ? '' : JSON.stringify(data).slice(0, maxPreviewLength)
}
