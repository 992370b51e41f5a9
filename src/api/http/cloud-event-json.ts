// Reads a CloudEvent in the JSON format
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md): the body of a structured
// request, or one element of a batch.

import { isJsonContentType } from '../../event/event.ts'
import type { EventParts } from '../../event/record-batch.ts'
import { isFault, partsOfCloudEvent } from './cloud-event.ts'
import { type EventReader, payloadOf, readBase64 } from './event-reader.ts'
import { isJsonString, type JsonMembers, jsonText } from './json-members.ts'

export class CloudEventReader implements EventReader {
  fault = ''
  #attributes = new Map<string, string>()
  #dataStart = -1
  #dataEnd = -1
  #decodedData: Buffer | undefined

  get id(): string {
    return this.#attributes.get('id') ?? ''
  }

  read(members: JsonMembers): EventParts | null {
    this.fault = ''
    this.#attributes = new Map()
    this.#dataStart = -1
    this.#decodedData = undefined
    while (members.next()) {
      if (this.fault !== '') continue
      if (members.fault !== '') this.fault = `${members.name} ${members.fault}`
      else this.#readMember(members)
    }
    if (members.brokenAt >= 0 || this.fault !== '') return null
    return this.#parts(members.bytes)
  }

  #readMember(members: JsonMembers): void {
    const { name, bytes, valueStart, valueEnd } = members
    if (name === 'data') {
      if (this.#dataStart >= 0) this.fault = 'data is given twice'
      this.#dataStart = valueStart
      this.#dataEnd = valueEnd
      return
    }
    const isNull = bytes[valueStart] === 0x6e
    // In this format null means that the attribute is absent.
    if (isNull) return
    if (name === 'data_base64') {
      if (this.#decodedData !== undefined) this.fault = 'data_base64 is given twice'
      this.#decodedData = readBase64(members) ?? undefined
      if (this.#decodedData === undefined) this.fault = 'data_base64 must be a string of padded base64'
      return
    }
    const text = attributeText(bytes, valueStart, valueEnd)
    if (this.#attributes.has(name)) this.fault = `${name} is given twice`
    else if (text === null) this.fault = `${name} must be a string, an integer or a boolean`
    else this.#attributes.set(name, text)
  }

  #parts(bytes: Uint8Array): EventParts | null {
    if (this.#dataStart >= 0 && this.#decodedData !== undefined) {
      this.fault = 'data and data_base64 are both given; give one of them'
      return null
    }
    const isJson = isJsonContentType(this.#attributes.get('datacontenttype') ?? '')
    const data = this.#dataStart >= 0 ? payloadOf(bytes, this.#dataStart, this.#dataEnd, isJson) : this.#decodedData
    const parts = partsOfCloudEvent(this.#attributes, data)
    if (!isFault(parts)) return parts
    this.fault = `${parts.attribute} ${parts.problem}`
    return null
  }
}

const integer = /^-?\d{1,10}$/

/** An attribute's value as text; null for a type that CloudEvents does not allow. */
function attributeText(bytes: Uint8Array, start: number, end: number): string | null {
  if (isJsonString(bytes, start)) return jsonText(bytes, start, end)
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
  if (text === 'true' || text === 'false') return text
  return integer.test(text) && Number(text) === (Number(text) | 0) ? text : null
}
