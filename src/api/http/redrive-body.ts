// The body of POST /v1/dead-letters/redrive: a filter, and options of the redrive. The data of an edited event is a slice of
// the body's bytes and never parsed, so no digit of a number is lost.

import * as v from 'valibot'
import { isJsonContentType } from '../../event/event.ts'
import { JsonText } from '../../lib/json/json-text.ts'
import { type RedriveRequest, rateLimits } from '../../pipeline/administration.ts'
import { payloadOf, readBase64 } from './event-reader.ts'
import type { JsonMembers } from './json-members.ts'
import { readJsonObject, wrongMember } from './json-object.ts'
import { timeParameter } from './query.ts'

const text = v.optional(v.string('must be a string'))
const flag = v.optional(v.boolean('must be true or false'))
const ids = 'must be an array of strings'

export const redriveBody = v.object({
  dead_letter_ids: v.optional(v.array(v.string(ids), ids)),
  topic: text,
  group: text,
  type: text,
  code: text,
  since: text,
  until: text,
  redriven: flag,
  rate: v.optional(v.number('must be a number of events per second'), rateLimits.default),
  dry_run: flag,
  data: v.optional(v.instance(Uint8Array)),
  data_base64: v.optional(v.instance(Buffer, 'must be a string of base64 with its padding')),
  data_content_type: v.optional(
    v.pipe(v.string('must be a string'), v.nonEmpty('is empty: omit it, or give a media type')),
  ),
  cursor: text,
})

const form = {
  names: Object.keys(redriveBody.entries),
  subject: 'a redrive has',
  advice: '{} selects all dead letters',
}

/** Throws `invalid_event`, with the bad member as its field. */
export function readRedriveBody(body: Uint8Array): RedriveRequest {
  const parsed = v.safeParse(redriveBody, readJsonObject(new JsonText(), body, form, readValue), { abortEarly: true })
  if (!parsed.success)
    throw wrongMember(v.getDotPath(parsed.issues[0])?.split('.')[0] ?? 'body', parsed.issues[0].message)
  const { topic, group, type, code, since, until, redriven, rate, cursor, ...values } = parsed.output
  return {
    filter: {
      deadLetterIds: values.dead_letter_ids,
      ...{ topic, group, type, code },
      sinceMicros: since === undefined ? undefined : timeParameter('since', since),
      untilMicros: until === undefined ? undefined : timeParameter('until', until),
      isRedriven: redriven,
    },
    rate,
    isDryRun: values.dry_run ?? false,
    edit: editOf(values),
    cursor,
  }
}

function readValue(members: JsonMembers): unknown {
  if (members.name === 'data_base64') return readBase64(members)
  const json = members.bytes.subarray(members.valueStart, members.valueEnd)
  return members.name === 'data' ? json : JSON.parse(Buffer.from(json).toString())
}

function editOf(values: Pick<v.InferOutput<typeof redriveBody>, 'data' | 'data_base64' | 'data_content_type'>) {
  const { data, data_base64: decoded, data_content_type: contentType } = values
  if (data !== undefined && decoded !== undefined)
    throw wrongMember('data', 'and data_base64 are both given; give one of them')
  if (data !== undefined) {
    return { data: payloadOf(data, 0, data.length, isJsonContentType(contentType ?? '')), contentType }
  }
  if (decoded !== undefined) return { data: decoded, contentType }
  if (contentType !== undefined) throw wrongMember('data_content_type', 'is given without data')
  return undefined
}
