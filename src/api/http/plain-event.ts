// Reads Millrace's plain JSON event: the keys of millrace.v1.Event in snake_case.
//
// Unknown keys are refused by name, so that a misspelt key is not silently lost. Absent values get defaults: id and
// time from ingest, source "/".

import { isJsonContentType, type Lane, lanes } from '../../event/event.ts'
import type { EventParts } from '../../event/record-batch.ts'
import { parseRfc3339 } from '../../lib/rfc3339.ts'
import type { Micros } from '../../lib/timestamp.ts'
import { type EventReader, payloadOf, readBase64 } from './event-reader.ts'
import { isJsonString, JsonMembers, jsonText } from './json-members.ts'

const keys = [
  'id',
  'source',
  'type',
  'subject',
  'time',
  'data',
  'data_base64',
  'data_content_type',
  'priority',
  'key',
  'attributes',
] as const
type Key = (typeof keys)[number]

const keyBits = new Map<string, number>(keys.map((key, index) => [key, 1 << index]))
const outputKeys = ['event_id', 'topic', 'received_at']

export class PlainEventReader implements EventReader {
  fault = ''
  id = ''
  #type = ''
  #source: string | undefined
  #subject: string | undefined
  #contentType: string | undefined
  #key: string | undefined
  #timeMicros: Micros | undefined
  #lane: Lane | undefined
  #attributes: Map<string, string> | undefined
  #dataStart = -1
  #dataEnd = -1
  #decodedData: Buffer | undefined

  read(members: JsonMembers): EventParts | null {
    this.#reset()
    let seen = 0
    while (members.next()) {
      if (this.fault !== '') continue
      const bit = keyBits.get(members.name)
      if (bit === undefined) this.fault = describeUnknownKey(members.name)
      else if ((seen & bit) !== 0) this.fault = `${members.name} is given twice`
      else if (members.fault !== '') this.fault = `${members.name} ${members.fault}`
      else this.#readMember(members)
      seen |= bit ?? 0
    }
    if (members.brokenAt >= 0 || this.fault !== '') return null
    return this.#parts(members.bytes)
  }

  #reset(): void {
    this.fault = ''
    this.id = ''
    this.#type = ''
    this.#source = this.#subject = this.#contentType = this.#key = undefined
    this.#timeMicros = undefined
    this.#lane = undefined
    this.#attributes = undefined
    this.#dataStart = -1
    this.#decodedData = undefined
  }

  #readMember(members: JsonMembers): void {
    switch (members.name as Key) {
      case 'data':
        this.#dataStart = members.valueStart
        this.#dataEnd = members.valueEnd
        return
      case 'data_base64':
        this.#decodedData = readBase64(members) ?? undefined
        if (this.#decodedData === undefined) this.fault = 'data_base64 must be a string of padded base64'
        return
      case 'attributes':
        this.#readAttributes(members)
        return
      default:
        this.#readText(members)
    }
  }

  #readText(members: JsonMembers): void {
    const { bytes, name, valueStart, valueEnd } = members
    if (!isJsonString(bytes, valueStart)) {
      this.fault = `${name} must be a string`
      return
    }
    const text = jsonText(bytes, valueStart, valueEnd)
    switch (name as Key) {
      case 'id':
        this.id = text
        return
      case 'source':
        this.#source = text
        return
      case 'type':
        this.#type = text
        return
      case 'subject':
        this.#subject = text
        return
      case 'data_content_type':
        this.#contentType = text
        return
      case 'key':
        this.#key = text
        return
      case 'priority':
        this.#lane = lanes.find((lane) => lane === text)
        if (this.#lane === undefined) this.fault = 'priority must be "low", "normal" or "high"'
        return
      case 'time': {
        const time = parseRfc3339(text)
        if (typeof time === 'string') this.fault = `time ${time}`
        else this.#timeMicros = time
      }
    }
  }

  #readAttributes(members: JsonMembers): void {
    const { bytes, valueStart, valueEnd } = members
    if (bytes[valueStart] !== 0x7b) {
      this.fault = 'attributes must be an object of strings'
      return
    }
    const attributes = new Map<string, string>()
    const entries = new JsonMembers(members.text).reset(valueStart, valueEnd)
    while (entries.next()) {
      const field = `attributes.${entries.name}`
      if (attributes.has(entries.name)) this.fault = `${field} is given twice`
      else if (!isJsonString(bytes, entries.valueStart)) this.fault = `${field} must be a string`
      if (this.fault !== '') return
      attributes.set(entries.name, jsonText(bytes, entries.valueStart, entries.valueEnd))
    }
    this.#attributes = attributes
  }

  #parts(bytes: Uint8Array): EventParts | null {
    if (this.#dataStart >= 0 && this.#decodedData !== undefined) {
      this.fault = 'data and data_base64 are both given; give one of them'
      return null
    }
    const contentType = this.#contentType ?? ''
    const data =
      this.#dataStart >= 0
        ? payloadOf(bytes, this.#dataStart, this.#dataEnd, isJsonContentType(contentType))
        : this.#decodedData
    return {
      id: this.id,
      source: this.#source ?? '',
      type: this.#type,
      subject: this.#subject ?? '',
      timeMicros: this.#timeMicros ?? null,
      dataContentType: contentType,
      key: this.#key ?? '',
      ...(data === undefined ? {} : { data }),
      ...(this.#lane === undefined ? {} : { lane: this.#lane }),
      ...(this.#attributes === undefined ? {} : { attributes: this.#attributes }),
    }
  }
}

function describeUnknownKey(name: string): string {
  const shown = JSON.stringify(name.slice(0, 80))
  if (outputKeys.includes(name)) return `${shown} is output only: the server sets it`
  return `key ${shown} is unknown; an event has ${keys.join(', ')}`
}
