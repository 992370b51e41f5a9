// The calls of KeyService.

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import {
  type ApiKey,
  CheckKeyRequestSchema,
  CheckKeyResponseSchema,
  CreateKeyRequestSchema,
  CreateKeyResponseSchema,
  ListKeysRequestSchema,
  ListKeysResponseSchema,
  RevokeKeyRequestSchema,
  RevokeKeyResponseSchema,
} from '../gen/millrace/v1/key_pb.ts'
import { microsOf, type Timestamp } from '../lib/timestamp.ts'
import type { CreatedKey, Grant, KeyDescription, KeyPage, KeyRequest, Scope } from '../pipeline/keys.ts'
import { durationOf } from './wire-values.ts'

/** What a key is for. The rest is left out for all topics, all types, no rate of its own, and a key that does not expire. */
export type KeyInput = Pick<KeyRequest, 'name' | 'scopes'> & Partial<KeyRequest>

/** What a key allows. */
export type CheckedKey = Omit<Grant, 'allows' | 'allowsTopic' | 'allowsType'>

export interface ListKeysOptions {
  /** Max keys of the page, 1 to 1,000. Default 100. */
  readonly limit?: number
  /** `nextCursor` of the page before. */
  readonly cursor?: string | null
}

/** API keys: who may call, and what for. A server with keys asks for the scope `admin`, except to check a key. */
export interface ClientKeys {
  /**
   * Makes a key, and tells it this once.
   * @throws MillraceError `invalid_event` (names the field), `already_exists` (two valid keys have the name),
   *   `failed_precondition` (10,000 keys are stored). `outcomeUnknown`: list the keys, and revoke the one that nobody has.
   */
  create(input: KeyInput): Promise<CreatedKey>

  /** Lists keys by name, also those that have ended, for 30 days. Times are microseconds since 1970. */
  list(options?: ListKeysOptions): Promise<KeyPage>

  /**
   * Ends a key for good, at the server that answers at once, at any other within 5 s. Safe to retry.
   * @throws MillraceError `not_found`.
   */
  revoke(keyId: string): Promise<void>

  /**
   * Returns what a key allows.
   * @throws MillraceError `unauthenticated` for every wrong key: unknown, revoked or expired.
   */
  check(key: string): Promise<CheckedKey>
}

type MakeCall = <Response>(method: string, request: Buffer, decode: (bytes: Buffer) => Response) => Promise<Response>

export class KeysClient implements ClientKeys {
  readonly #makeCall: MakeCall

  constructor(makeCall: MakeCall) {
    this.#makeCall = makeCall
  }

  async create({ topics, types, ratePerSecond, expiresInSeconds, ...input }: KeyInput): Promise<CreatedKey> {
    const request = {
      ...{ name: input.name, scopes: [...input.scopes], topics: [...(topics ?? [])], types: [...(types ?? [])] },
      ratePerSecond: ratePerSecond ?? 0,
      ...(expiresInSeconds == null ? {} : { expiresIn: durationOf(expiresInSeconds * 1000) }),
    }
    const answer = await this.#call('CreateKey', CreateKeyRequestSchema, request, CreateKeyResponseSchema)
    if (answer.description === undefined) throw new MillraceError('internal', 'the server answered with no key')
    return { key: answer.key, description: keyOfWire(answer.description) }
  }

  async list({ limit = 100, cursor = null }: ListKeysOptions = {}): Promise<KeyPage> {
    const request = { limit, cursor: cursor ?? '' }
    const { keys, nextCursor } = await this.#call(
      ...(['ListKeys', ListKeysRequestSchema, request, ListKeysResponseSchema] as const),
    )
    return { keys: keys.map(keyOfWire), nextCursor: nextCursor || null }
  }

  async revoke(keyId: string): Promise<void> {
    await this.#call('RevokeKey', RevokeKeyRequestSchema, { keyId }, RevokeKeyResponseSchema)
  }

  async check(key: string): Promise<CheckedKey> {
    const answer = await this.#call('CheckKey', CheckKeyRequestSchema, { key }, CheckKeyResponseSchema)
    const expiresAtMicros = microsOrNull(answer.expiresAt)
    return { ...namedOfWire(answer), expiresAtMs: expiresAtMicros === null ? null : expiresAtMicros / 1000 }
  }

  #call<Request extends DescMessage, Response extends DescMessage>(
    method: string,
    requestSchema: Request,
    request: MessageInitShape<Request>,
    responseSchema: Response,
  ): Promise<MessageShape<Response>> {
    const bytes = Buffer.from(toBinary(requestSchema, create(requestSchema, request)))
    return this.#makeCall(`millrace.v1.KeyService/${method}`, bytes, (answer) => fromBinary(responseSchema, answer))
  }
}

type Named = Pick<ApiKey, 'keyId' | 'name' | 'scopes' | 'topics' | 'types' | 'ratePerSecond'>

function namedOfWire({ keyId, name, scopes, topics, types, ratePerSecond }: Named) {
  return {
    ...{ keyId, name, scopes: scopes as Scope[] },
    topics: topics.length === 0 ? null : topics,
    types: types.length === 0 ? null : types,
    ratePerSecond: ratePerSecond || null,
  }
}

function keyOfWire(key: ApiKey): KeyDescription {
  return {
    ...namedOfWire(key),
    createdAtMicros: microsOrNull(key.createdAt) ?? 0,
    expiresAtMicros: microsOrNull(key.expiresAt),
    revokedAtMicros: microsOrNull(key.revokedAt),
    lastUsedAtMicros: microsOrNull(key.lastUsedAt),
  }
}

function microsOrNull(time: Timestamp | undefined): number | null {
  return time === undefined ? null : Number(microsOf(time))
}
