// A landed event in an answer. Its JSON form is text (api/http/event-json.ts), so that its data stays as it was sent.

import { defaultContentType, type Lane, priorityOfLane } from '../event/event.ts'
import { isJsonData } from '../event/event-data.ts'
import { StoredEventSchema } from '../gen/millrace/v1/admin_pb.ts'
import { EventSchema } from '../gen/millrace/v1/event_pb.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'
import { anyTime, by, bytes, enumOf, named, object, orEmpty, shape, text, textMap, time } from './shape.ts'

/** Any other number is `normal`. */
export const lane = enumOf<Lane>(priorityOfLane, { unspecified: 'normal', unknown: 'normal' })

type Envelope = Pick<StoredEvent, 'eventId' | 'topic' | 'dataOmitted'>
type Content = Omit<StoredEvent, keyof Envelope | 'data' | 'isJson'> & { readonly data: Uint8Array }

const content = shape<Content>(EventSchema, {
  id: text,
  source: text,
  type: text,
  subject: text,
  timeMicros: anyTime,
  data: bytes,
  dataContentType: text,
  lane: named('priority', lane),
  key: text,
  attributes: textMap,
  receivedAtMicros: time,
})

const parts = shape<Envelope & { readonly event: Content }>(StoredEventSchema, {
  eventId: text,
  topic: text,
  event: object(content),
  dataOmitted: orEmpty(text),
})

export const storedEvent = by<StoredEvent, Envelope & { readonly event: Content }>(
  parts,
  ({ eventId, topic, dataOmitted, isJson: _, data, ...event }) => ({
    ...{ eventId, topic, dataOmitted },
    event: { ...event, data: data ?? new Uint8Array(0) },
  }),
  ({ event: { data, dataContentType, ...event }, ...envelope }) => ({
    ...envelope,
    ...event,
    data: data.length === 0 ? null : data,
    isJson: isJsonData(data, dataContentType),
    dataContentType: dataContentType || defaultContentType,
  }),
)
