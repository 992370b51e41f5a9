// Determines the form of the events in a request to POST /v1/events from its headers (CloudEvents 1.0, HTTP binding).

import type { IncomingMessage } from 'node:http'
import { MillraceError } from '../../errors.ts'
import { isBinaryMode } from './cloud-event-headers.ts'

export type BodyForm =
  | 'json'
  | 'ndjson'
  | 'structured-json'
  | 'structured-protobuf'
  | 'batch-json'
  | 'batch-protobuf'
  | 'binary'

const forms: Readonly<Record<string, BodyForm>> = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/cloudevents+json': 'structured-json',
  'application/cloudevents+protobuf': 'structured-protobuf',
  'application/cloudevents-batch+json': 'batch-json',
  'application/cloudevents-batch+protobuf': 'batch-protobuf',
}

/**
 * Throws `unsupported_media_type` for any other form, `invalid_event` when only some required `ce-` headers are
 * present.
 */
export function bodyFormOf({ headers, rawHeaders }: IncomingMessage): BodyForm {
  const [mediaType = '', ...parameters] = (headers['content-type'] ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim())
  if (!mediaType.startsWith('application/cloudevents') && isBinaryMode(rawHeaders)) return 'binary'
  const form = Object.hasOwn(forms, mediaType) ? forms[mediaType] : undefined
  if (form === undefined) {
    const shown = headers['content-type'] === undefined ? 'is missing' : `${JSON.stringify(mediaType)} is not supported`
    throw unsupported(`content-type ${shown}; use one of ${Object.keys(forms).join(', ')}`, 'content-type')
  }
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length)
  if (charset !== undefined && !/^"?utf-?8"?$/.test(charset)) {
    throw unsupported(`charset ${charset} is not supported: use utf-8`, 'content-type')
  }
  return form
}

function unsupported(message: string, field: string): MillraceError {
  return new MillraceError('unsupported_media_type', message, { field })
}
