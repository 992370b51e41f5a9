// Converts the attributes of a CloudEvent 1.0 to Millrace's event, for all forms: headers, JSON and protobuf.
//
// Job: the rules for attributes (CloudEvents 1.0.2, sections 2 and 3): which are required, what they map to, and which
// names and values are valid. Extensions are kept unchanged as attributes.
// Not its job: parsing the forms (cloud-event-json.ts, cloud-event-headers.ts, cloud-event-protobuf.ts).

import { type Lane, lanes } from '../../event/event.ts'
import type { EventParts } from '../../event/record-batch.ts'
import { parseRfc3339 } from '../../lib/rfc3339.ts'

export const requiredAttributes = ['specversion', 'id', 'source', 'type'] as const

const attributeName = /^[a-z0-9]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a CloudEvents String must not have.
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/

/**
 * Set only by the server's clock. It is ignored in input, so that an event read from Millrace can be published again.
 */
const outputAttribute = 'receivedat'

/** An invalid attribute: `problem` continues its name. */
export interface AttributeFault {
  readonly attribute: string
  readonly problem: string
}

export function partsOfCloudEvent(
  attributes: ReadonlyMap<string, string>,
  data: Uint8Array | undefined,
): EventParts | AttributeFault {
  const fault = faultOf(attributes)
  if (fault !== null) return fault
  const timeText = attributes.get('time')
  const time = timeText === undefined ? null : parseRfc3339(timeText)
  if (typeof time === 'string') return { attribute: 'time', problem: time }
  const priority = attributes.get('priority')
  const lane = lanes.find((name) => name === priority)
  return {
    id: attributes.get('id') ?? '',
    source: attributes.get('source') ?? '',
    type: attributes.get('type') ?? '',
    subject: attributes.get('subject') ?? '',
    timeMicros: time,
    dataContentType: attributes.get('datacontenttype') ?? '',
    key: attributes.get('partitionkey') ?? '',
    attributes: extensionsOf(attributes, lane),
    ...(lane === undefined ? {} : { lane }),
    ...(data === undefined ? {} : { data }),
  }
}

export function isFault(result: EventParts | AttributeFault): result is AttributeFault {
  return 'problem' in result
}

function faultOf(attributes: ReadonlyMap<string, string>): AttributeFault | null {
  for (const name of requiredAttributes) {
    if (!attributes.has(name)) return { attribute: name, problem: 'is missing' }
  }
  const version = attributes.get('specversion')
  if (version !== '1.0') {
    return { attribute: 'specversion', problem: `is ${JSON.stringify(version?.slice(0, 20))}; it must be "1.0"` }
  }
  for (const name of ['id', 'source', 'type', 'subject', 'partitionkey']) {
    if (attributes.get(name) === '') return { attribute: name, problem: 'is empty' }
  }
  for (const [name, value] of attributes) {
    if (!attributeName.test(name) || name === 'data') {
      return {
        attribute: JSON.stringify(name.slice(0, 80)),
        problem: 'cannot be an attribute: names have only a-z and 0-9',
      }
    }
    if (controlCharacter.test(value)) return { attribute: name, problem: 'has a control character: remove it' }
  }
  return null
}

/** Attributes that map to fields of the event; all others are extensions. */
const eventAttributes = new Set([
  ...requiredAttributes,
  'subject',
  'time',
  'datacontenttype',
  'partitionkey',
  outputAttribute,
])

/** An unknown priority is kept as an extension. */
function extensionsOf(attributes: ReadonlyMap<string, string>, lane: Lane | undefined): [string, string][] {
  return [...attributes].filter(([name]) => !eventAttributes.has(name) && (name !== 'priority' || lane === undefined))
}
