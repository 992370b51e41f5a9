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
  Ticket,
  TicketRequest,
} from '../pipeline/keys.ts'
import { defaultLimit } from './administration.ts'
import { durationInSeconds } from './durations.ts'
import { type Nothing, nothing, rpc } from './rpc.ts'
import {
  given,
  list,
  named,
  number,
  object,
  orEmpty,
  orNull,
  shape,
  type Table,
  text,
  time,
  timeInMs,
  word,
} from './shape.ts'

/** What a key allows. */
export type CheckedKey = Omit<Grant, 'allows' | 'allowsTopic' | 'allowsType'>

const rights: Table<KeyRights> = {
  name: text,
  scopes: list(word<Scope>()),
  topics: given(list(text)),
  types: given(list(text)),
  ratePerSecond: given(number),
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
  createTicket: rpc<TicketRequest, Ticket>(
    method.createTicket,
    {
      scopes: given(list(word<Scope>())),
      topics: given(list(text)),
      types: given(list(text)),
      usableForSeconds: named('usableFor', orNull(durationInSeconds)),
    },
    { ticket: text, usableUntilMicros: time },
  ),
  check: rpc<{ readonly key: string }, CheckedKey>(method.checkKey, { key: text }, checkedKey),
}
