// The text of a ticket: mrt_<key id>_<content>.<signature>.
//
// It is signed with the hash of its key, which every process has and no caller knows: so nothing is stored, every process takes
// it, and it ends with its key. Who can read the hashes in the database could make tickets, so no ticket has a scope that writes
// events, works or makes keys.

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Scope } from '../pipeline/keys.ts'

export const ticketScopes: readonly Scope[] = ['subscribe', 'read', 'operate']

export interface TicketContent {
  readonly usableUntilMs: number
  readonly scopes: readonly Scope[]
  readonly topics: readonly string[] | null
  readonly types: readonly string[] | null
}

const pattern = /^mrt_([0-9A-Za-z]{12})_([\w-]+)\.([\w-]{43})$/

export function writeTicket(keyId: string, hash: Uint8Array, content: TicketContent): string {
  const signed = `mrt_${keyId}_${Buffer.from(JSON.stringify(content)).toString('base64url')}`
  return `${signed}.${signatureOf(signed, hash).toString('base64url')}`
}

/** The id of the key that a ticket names; null for a text that is no ticket. */
export function keyIdOfTicket(text: string): string | null {
  return pattern.exec(text)?.[1] ?? null
}

/** The content of a ticket of the key with this hash; null when the key has not signed it. */
export function readTicket(text: string, hash: Uint8Array): TicketContent | null {
  const [, , content = '', signature = ''] = pattern.exec(text) ?? []
  const signed = text.slice(0, text.lastIndexOf('.'))
  if (!timingSafeEqual(signatureOf(signed, hash), Buffer.from(signature.padEnd(43, 'A'), 'base64url'))) return null
  return JSON.parse(Buffer.from(content, 'base64url').toString()) as TicketContent
}

function signatureOf(text: string, hash: Uint8Array): Buffer {
  return createHmac('sha256', hash).update(text).digest()
}
