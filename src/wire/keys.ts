// KeyService: a row for each call.

import { ApiKeySchema, CheckKeyResponseSchema, KeyService } from '../gen/millrace/v1/key_pb.ts'
import type {
  CreatedKey,
  Grant,
  KeyDescription,
  KeyPage,
  KeyRequest,
  KeyRights,
  Scope,
  Session,
  Ticket,
  TicketRequest,
} from '../pipeline/keys.ts'
import { defaultLimit } from './administration.ts'
import { durationInSeconds } from './durations.ts'
import { type Nothing, nothing, rpc } from './rpc.ts'
import {
  list,
  named,
  object,
  orAll,
  orEmpty,
  orNull,
  shape,
  type Table,
  text,
  time,
  timeInMs,
  whole,
  word,
} from './shape.ts'

/** What a key allows. */
export type CheckedKey = Omit<Grant, 'allows' | 'allowsTopic' | 'allowsType'>

/** A session, with what it allows. */
export type CheckedSession = Omit<Session, 'grant'> & { readonly grant: CheckedKey }

const rights: Table<KeyRights> = {
  name: text,
  scopes: list(word<Scope>()),
  topics: orAll(list(text)),
  types: orAll(list(text)),
  ratePerSecond: orAll(whole),
}

export const keyDescription = shape<KeyDescription>(ApiKeySchema, {
  keyId: text,
  ...rights,
  createdAtMicros: time,
  expiresAtMicros: orNull(time),
  revokedAtMicros: orNull(time),
  lastUsedAtMicros: orNull(time),
})

export const checkedKey = shape<CheckedKey>(CheckKeyResponseSchema, {
  keyId: text,
  ...rights,
  expiresAtMs: orNull(timeInMs),
})

const { method } = KeyService

export const keyRpcs = {
  create: rpc<KeyRequest, CreatedKey>(
    method.createKey,
    { ...rights, expiresInSeconds: named('expiresIn', orNull(durationInSeconds)) },
    { key: text, description: object(keyDescription) },
  ),
  list: rpc<{ readonly limit: number; readonly cursor: string | null }, KeyPage>(
    method.listKeys,
    { limit: defaultLimit, cursor: orEmpty(text) },
    { keys: list(object(keyDescription)), nextCursor: orEmpty(text) },
  ),
  revoke: rpc<{ readonly keyId: string }, Nothing>(method.revokeKey, { keyId: text }, nothing),
  createTicket: rpc<TicketRequest & { readonly key: string }, Ticket>(
    method.createTicket,
    {
      key: text,
      scopes: orAll(list(word<Scope>())),
      topics: orAll(list(text)),
      types: orAll(list(text)),
      usableForSeconds: named('usableFor', orNull(durationInSeconds)),
    },
    { ticket: text, usableUntilMicros: time },
  ),
  createSession: rpc<{ readonly key: string }, CheckedSession>(
    method.createSession,
    { key: text },
    { session: text, usableForSeconds: named('usableFor', durationInSeconds), grant: object(checkedKey) },
  ),
  check: rpc<{ readonly key: string }, CheckedKey>(method.checkKey, { key: text }, checkedKey),
}
