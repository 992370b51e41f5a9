// API keys: makes, lists and revokes them, and makes tickets and sessions.
//
// Not its job: the check of a key (key-ring.ts), which callers need one (server/).

import { MillraceError } from '../errors.ts'
import {
  type CreatedKey,
  type Grant,
  type KeyDescription,
  type KeyPage,
  type KeyRequest,
  type Keys,
  keyLimits,
  type Scope,
  type Session,
  scopes,
  type Ticket,
  type TicketRequest,
} from '../pipeline/keys.ts'
import type { ApiKeyQuery, ApiKeys, StoredApiKey } from '../store/api-keys.ts'
import { checkLimit } from '../store/page-cursor.ts'
import type { Logger } from '../telemetry/logger.ts'
import { compilePatterns, narrow } from './grant.ts'
import type { KeyRing } from './key-ring.ts'
import { hashOfKey, newKeyText, readKey } from './key-text.ts'
import { keyIdOfSession, openSession, sealSession } from './session.ts'
import { keyIdOfTicket, readTicket, ticketScopes, writeTicket } from './ticket.ts'

export interface KeyRegistryOptions {
  readonly store: ApiKeys
  readonly ring: KeyRing
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

const namePattern = /^[A-Za-z0-9._-]{1,64}$/

export class KeyRegistry implements Keys {
  readonly #options: KeyRegistryOptions

  constructor(options: KeyRegistryOptions) {
    this.#options = options
  }

  async create(request: KeyRequest): Promise<CreatedKey> {
    const { store, ring, logger, now } = this.#options
    checkRequest(request)
    const { key, stored } = newKey(request, now())
    const insertion = await store.insertApiKey(stored, false)
    if (insertion !== 'inserted') throw refusalOf(insertion, stored)
    ring.add(stored)
    logger.info({ key_id: stored.keyId, name: stored.name, scopes: stored.scopes }, 'key created')
    return { key, description: describe(stored) }
  }

  async list({ limit, cursor }: Parameters<Keys['list']>[0]): Promise<KeyPage> {
    checkLimit(limit)
    const found = await this.#options.store.listApiKeys({ after: placeOf(cursor), limit: limit + 1 })
    const keys = found.slice(0, limit).map(describe)
    return { keys, nextCursor: found.length > limit ? cursorOf(keys.at(-1)!) : null }
  }

  async revoke(keyId: string): Promise<void> {
    const { store, ring, logger, now } = this.#options
    if (!(await store.revokeApiKey(keyId, now() * 1000))) {
      throw new MillraceError('not_found', `no key has the id "${keyId.slice(0, 80)}": millrace keys list shows them`)
    }
    logger.info({ key_id: keyId }, 'key revoked')
    await ring.readAgain()
  }

  check(text: string): Grant | null | Promise<Grant | null> {
    return this.#options.ring.check(text)
  }

  async checkTicket(text: string): Promise<Grant | null> {
    const { ring, now } = this.#options
    const keyId = keyIdOfTicket(text)
    if (keyId === null || text.length > keyLimits.ticket.maxBytes) return null
    const key = await ring.find(keyId)
    const content = key && readTicket(text, key.hash)
    if (!content || now() >= content.usableUntilMs) return null
    return narrow(ring.use(key), content)
  }

  async checkSession(text: string): Promise<Grant | null> {
    const { ring, now } = this.#options
    const keyId = keyIdOfSession(text)
    const key = keyId === null ? null : await ring.find(keyId)
    const content = key && openSession(text, key.hash)
    if (!content || now() >= content.usableUntilMs) return null
    return await ring.check(content.key)
  }

  onEnded(keyId: string, listener: () => void): () => void {
    return this.#options.ring.onEnded(keyId, listener)
  }

  createTicket(grant: Grant, request: TicketRequest): Ticket {
    const key = this.#options.ring.get(grant.keyId)
    if (key === undefined) throw new MillraceError('unauthenticated', 'a ticket is made with a key that is valid')
    if (key.grant !== grant)
      throw new MillraceError('permission_denied', 'a ticket is made with a key, not with a ticket')
    const { topics, types } = request
    const { defaultSeconds, maxSeconds, maxBytes } = keyLimits.ticket
    const usableForSeconds = request.usableForSeconds ?? defaultSeconds
    refuseOutside('usable_for', usableForSeconds, 1, maxSeconds, 'seconds')
    compilePatterns('topics', topics)
    compilePatterns('types', types)
    const usableUntilMs = this.#options.now() + usableForSeconds * 1000
    const content = { usableUntilMs, scopes: scopesOfTicket(grant, request.scopes), topics, types }
    const ticket = writeTicket(grant.keyId, key.hash, content)
    if (ticket.length > maxBytes) {
      const problem = `topics and types make a ticket of ${ticket.length} bytes; it may have ${maxBytes}: give fewer patterns`
      throw invalid('topics', problem)
    }
    return { ticket, usableUntilMicros: usableUntilMs * 1000 }
  }

  async createSession(text: string): Promise<Session | null> {
    const { ring, now } = this.#options
    const grant = await ring.check(text)
    const key = grant && ring.get(grant.keyId)
    if (!key) return null
    const { keyId, expiresAtMs } = key.grant
    const nowMs = now()
    const usableUntilMs = Math.min(nowMs + keyLimits.maxSessionSeconds * 1000, expiresAtMs ?? Number.POSITIVE_INFINITY)
    const session = sealSession(keyId, key.hash, { key: text, usableUntilMs })
    return { session, grant: key.grant, usableForSeconds: Math.max(0, Math.floor((usableUntilMs - nowMs) / 1000)) }
  }
}

/** A key of this request, and what is stored of it. */
export function newKey(request: KeyRequest, nowMs: number): { readonly key: string; readonly stored: StoredApiKey } {
  const key = newKeyText()
  return { key, stored: storedOf(key, request, nowMs) }
}

/** What is stored of a key. */
export function storedOf(key: string, request: KeyRequest, nowMs: number): StoredApiKey {
  const { name, topics, types, ratePerSecond, expiresInSeconds } = request
  const reading = readKey(key)
  if ('problem' in reading) throw new MillraceError('internal', reading.problem)
  return {
    ...{ keyId: reading.keyId, name, hash: hashOfKey(key), topics, types, ratePerSecond },
    scopes: scopes.filter((scope) => request.scopes.includes(scope)),
    createdAtMicros: nowMs * 1000,
    expiresAtMicros: expiresInSeconds === null ? null : (nowMs + expiresInSeconds * 1000) * 1000,
    ...{ revokedAtMicros: null, lastUsedAtMicros: null },
  }
}

function checkRequest({ name, scopes: given, topics, types, ratePerSecond, expiresInSeconds }: KeyRequest): void {
  if (!namePattern.test(name)) {
    throw invalid('name', `name is ${JSON.stringify(name.slice(0, 80))}; it takes 1 to 64 of A-Z a-z 0-9 . _ -`)
  }
  checkScopes(given, scopes)
  if (given.length === 0) throw invalid('scopes', `scopes is empty; give one at least of ${scopes.join(', ')}`)
  compilePatterns('topics', topics)
  compilePatterns('types', types)
  if (ratePerSecond !== null) {
    refuseOutside('rate_per_second', ratePerSecond, 1, keyLimits.maxRatePerSecond, 'events per second')
  }
  if (expiresInSeconds !== null) {
    const { minExpiresInSeconds, maxExpiresInSeconds } = keyLimits
    refuseOutside('expires_in', expiresInSeconds, minExpiresInSeconds, maxExpiresInSeconds, 'seconds')
  }
}

/** Callers pass on what was sent, so a scope may be any text. */
function checkScopes(given: readonly string[], allowed: readonly string[]): void {
  const unknown = given.find((scope) => !allowed.includes(scope))
  if (unknown === undefined) return
  throw invalid('scopes', `scopes has ${JSON.stringify(unknown.slice(0, 80))}; it takes ${allowed.join(', ')}`)
}

function scopesOfTicket(grant: Grant, given: readonly Scope[] | null): readonly Scope[] {
  if (given === null) return (['subscribe', 'read'] as const).filter((scope) => grant.allows(scope))
  checkScopes(given, ticketScopes)
  const missing = given.find((scope) => !grant.allows(scope))
  if (missing === undefined) return given
  throw new MillraceError('permission_denied', `the key lacks the scope ${missing}`, { field: 'scopes' })
}

function refuseOutside(field: string, value: number, min: number, max: number, unit: string): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw invalid(field, `${field} is ${value}; it must be a whole number of ${unit} from ${min} to ${max}`)
}

function refusalOf(
  insertion: 'id_taken' | 'name_taken' | 'admin_exists' | 'full',
  { name }: StoredApiKey,
): MillraceError {
  switch (insertion) {
    case 'name_taken': {
      const problem = `two keys named "${name}" are valid: revoke one (millrace keys list shows them), or take another name`
      return new MillraceError('already_exists', problem, { field: 'name' })
    }
    case 'full': {
      const problem = `${keyLimits.maxKeys} keys are stored: revoke those that nobody uses; they go after 30 days`
      return new MillraceError('failed_precondition', problem)
    }
    case 'id_taken':
    case 'admin_exists':
      return new MillraceError('internal', `the key was not stored: ${insertion}`)
  }
}

function describe({ hash: _hash, ...description }: StoredApiKey): KeyDescription {
  return description
}

function invalid(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', problem, { field })
}

function cursorOf({ name, keyId }: Pick<KeyDescription, 'name' | 'keyId'>): string {
  return Buffer.from(`1 ${name} ${keyId}`).toString('base64url')
}

/** Throws `invalid_event` for any text that `cursorOf` did not write. */
function placeOf(cursor: string | null): ApiKeyQuery['after'] {
  if (cursor === null) return null
  const [, name = '', keyId = ''] = Buffer.from(cursor, 'base64url').toString().split(' ')
  if (name !== '' && cursorOf({ name, keyId }) === cursor) return { name, keyId }
  const shown = cursor.length > 40 ? `${cursor.slice(0, 40)}…` : cursor
  throw invalid(
    'cursor',
    `cursor is not valid: "${shown}"; pass next_cursor of an earlier page unchanged, or leave it out`,
  )
}
