// Reads CloudEvents in the protobuf format (io.cloudevents.v1), structured and batch. HTTP only: Millrace's gRPC has
// its own Event.

import { fromBinary } from '@bufbuild/protobuf'
import { MillraceError } from '../../errors.ts'
import type { EventParts } from '../../event/record-batch.ts'
import {
  type CloudEvent,
  type CloudEvent_CloudEventAttributeValue,
  CloudEventBatchSchema,
  CloudEventSchema,
} from '../../gen/io/cloudevents/v1/cloudevents_pb.ts'
import { formatRfc3339, isKnownSecond } from '../../lib/rfc3339.ts'
import { microsOf } from '../../lib/timestamp.ts'
import { type AttributeFault, partsOfCloudEvent } from './cloud-event.ts'

/** The events of a body. Throws `invalid_event` when the body is not such a message. */
export function decodeCloudEvents(body: Uint8Array, isBatch: boolean): CloudEvent[] {
  try {
    return isBatch ? fromBinary(CloudEventBatchSchema, body).events : [fromBinary(CloudEventSchema, body)]
  } catch (error) {
    const name = isBatch ? 'CloudEventBatch' : 'CloudEvent'
    throw new MillraceError('invalid_event', `the body is not an io.cloudevents.v1.${name}`, {
      field: 'body',
      cause: error,
    })
  }
}

export function partsOfProtobufEvent(event: CloudEvent): EventParts | AttributeFault {
  const attributes = new Map<string, string>()
  for (const [name, value] of Object.entries(event.attributes)) {
    const text = textOf(value)
    if (text === null) return { attribute: name, problem: 'has no value' }
    attributes.set(name, text)
  }
  // The four required attributes have their own fields, where '' means absent.
  const required = { specversion: event.specVersion, id: event.id, source: event.source, type: event.type }
  for (const [name, value] of Object.entries(required)) if (value !== '') attributes.set(name, value)
  return partsOfCloudEvent(attributes, dataOf(event, attributes))
}

/** The type of a nested protobuf message goes to `dataschema`, as the format requires. */
function dataOf({ data }: CloudEvent, attributes: Map<string, string>): Uint8Array | undefined {
  switch (data.case) {
    case 'binaryData':
      return data.value
    case 'textData':
      return Buffer.from(data.value)
    case 'protoData':
      if (!attributes.has('datacontenttype')) attributes.set('datacontenttype', 'application/protobuf')
      if (!attributes.has('dataschema')) attributes.set('dataschema', data.value.typeUrl)
      return data.value.value
    default:
      return undefined
  }
}

function textOf({ attr }: CloudEvent_CloudEventAttributeValue): string | null {
  switch (attr.case) {
    case 'ceBoolean':
    case 'ceInteger':
      return String(attr.value)
    case 'ceString':
    case 'ceUri':
    case 'ceUriRef':
      return attr.value
    case 'ceBytes':
      return Buffer.from(attr.value).toString('base64')
    case 'ceTimestamp':
      return isKnownSecond(Number(attr.value.seconds)) ? formatRfc3339(microsOf(attr.value)) : null
    default:
      return null
  }
}
