import type { ReactNode } from 'react'
import type { StoredEvent } from '../api.ts'
import { Time } from './values.tsx'

/** What an event says of itself, without its data. */
export function EventFacts({ event }: { readonly event: StoredEvent }) {
  const rows: (readonly [string, ReactNode])[] = [
    ['id', event.id],
    ['source', event.source],
    ['subject', event.subject],
    ['key', event.key],
    ['topic', event.topic],
    ['priority', event.priority],
    ['time', <Time key="time" of={event.time} />],
    ['received', <Time key="received" of={event.received_at} />],
    ['row', event.event_id],
    ...Object.entries(event.attributes),
  ]
  return (
    <dl className="pairs">
      {rows
        .filter(([, value]) => value !== '')
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className="break">{value}</dd>
          </div>
        ))}
    </dl>
  )
}
