// A heartbeat as an event: an agent says that it lives, and what it says of itself.

import { limits } from './event.ts'

/** Always declared, with one partition. */
export const heartbeatTopic = 'heartbeats'
export const heartbeatType = 'agent.heartbeat'
export const heartbeatSource = '/agents'

/** In bytes of JSON text: all agents of a page are in memory at once. */
export const maxMetadataBytes = 16 * 1024

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it finds.
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/

/** How the log names an agent, also one whose id is refused. */
export function agentLogFields(agentId: string): { readonly agent_id: string } {
  return { agent_id: agentId.slice(0, limits.maxNameBytes) }
}

/** The metadata of a heartbeat that has none. */
export const noMetadata = '{}'

/**
 * Why these cannot be an agent and its metadata; null if they can.
 * @param json valid JSON text; empty for none.
 * @param names what the two are called where they come from.
 */
export function heartbeatFault(
  agentId: string,
  json: Uint8Array,
  names: { readonly agentId: string; readonly metadata: string },
): { readonly field: string; readonly message: string } | null {
  const idFault = agentIdFault(agentId)
  if (idFault !== null) return { field: names.agentId, message: `${names.agentId} ${idFault}` }
  const fault = json.length === 0 ? null : metadataFault(json)
  return fault === null ? null : { field: names.metadata, message: `${names.metadata} ${fault}` }
}

function agentIdFault(agentId: string): string | null {
  // A text has at least as many bytes as characters.
  const bytes = agentId.length > limits.maxNameBytes ? agentId.length : Buffer.byteLength(agentId)
  if (bytes === 0) return `is empty; it takes 1 to ${limits.maxNameBytes} bytes`
  if (bytes > limits.maxNameBytes) return `has ${bytes} bytes or more; it takes 1 to ${limits.maxNameBytes}`
  if (controlCharacter.test(agentId)) return 'has a control character'
  return agentId.isWellFormed() ? null : 'has half of a surrogate pair, which is no character'
}

function metadataFault(json: Uint8Array): string | null {
  if (json.length > maxMetadataBytes) return `has ${json.length} bytes; the limit is ${maxMetadataBytes}`
  let at = 0
  while (json[at] === 0x20 || json[at] === 0x09 || json[at] === 0x0a || json[at] === 0x0d) at++
  return json[at] === 0x7b ? null : 'must be a JSON object'
}
