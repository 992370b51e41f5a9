// KeyService: API keys.

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { MillraceError } from '../../errors.ts'
import {
  type CheckKeyRequest,
  CheckKeyResponseSchema,
  type CreateKeyRequest,
  CreateKeyResponseSchema,
  type ListKeysRequest,
  ListKeysResponseSchema,
  type RevokeKeyRequest,
  RevokeKeyResponseSchema,
} from '../../gen/millrace/v1/key_pb.ts'
import { timestampOf } from '../../lib/timestamp.ts'
import type { KeyDescription, Keys, Scope } from '../../pipeline/keys.ts'
import { unary } from './unary.ts'

const defaultLimit = 100

export function keyHandlers(keys: Keys): UntypedServiceImplementation {
  return {
    createKey: unary(CreateKeyResponseSchema, async (request: CreateKeyRequest) => {
      const { name, scopes, topics, types, ratePerSecond, expiresIn } = request
      const { key, description } = await keys.create({
        name,
        scopes: scopes as Scope[],
        topics: topics.length === 0 ? null : topics,
        types: types.length === 0 ? null : types,
        ratePerSecond: ratePerSecond || null,
        expiresInSeconds: expiresIn === undefined ? null : Number(expiresIn.seconds) + expiresIn.nanos / 1e9,
      })
      return { key, description: keyMessage(description) }
    }),
    listKeys: unary(ListKeysResponseSchema, async ({ limit, cursor }: ListKeysRequest) => {
      const page = await keys.list({ limit: limit || defaultLimit, cursor: cursor || null })
      return { keys: page.keys.map(keyMessage), nextCursor: page.nextCursor ?? '' }
    }),
    revokeKey: unary(RevokeKeyResponseSchema, async ({ keyId }: RevokeKeyRequest) => {
      await keys.revoke(keyId)
      return {}
    }),
    checkKey: unary(CheckKeyResponseSchema, async ({ key }: CheckKeyRequest) => {
      const grant = await keys.check(key)
      if (grant === null) throw new MillraceError('unauthenticated', 'the key is not valid')
      const { expiresAtMs } = grant
      return { ...namesOf(grant), ...(expiresAtMs === null ? {} : { expiresAt: timestampOf(expiresAtMs * 1000) }) }
    }),
  }
}

type Named = Pick<KeyDescription, 'keyId' | 'name' | 'scopes' | 'topics' | 'types' | 'ratePerSecond'>

function namesOf({ keyId, name, scopes, topics, types, ratePerSecond }: Named) {
  return {
    ...{ keyId, name, scopes: [...scopes], topics: [...(topics ?? [])], types: [...(types ?? [])] },
    ratePerSecond: ratePerSecond ?? 0,
  }
}

function keyMessage(key: KeyDescription) {
  const { createdAtMicros, expiresAtMicros, revokedAtMicros, lastUsedAtMicros } = key
  return {
    ...namesOf(key),
    createdAt: timestampOf(createdAtMicros),
    ...(expiresAtMicros === null ? {} : { expiresAt: timestampOf(expiresAtMicros) }),
    ...(revokedAtMicros === null ? {} : { revokedAt: timestampOf(revokedAtMicros) }),
    ...(lastUsedAtMicros === null ? {} : { lastUsedAt: timestampOf(lastUsedAtMicros) }),
  }
}
