// API keys: who may call, and what for. Part of the Pipeline contract (pipeline.ts).

/** What a key may be for, in the order in which keys list them. */
export const scopes = ['publish', 'subscribe', 'work', 'read', 'operate', 'admin'] as const
export type Scope = (typeof scopes)[number]

export const keyLimits = {
  /** Keys that are stored, those that have ended included. */
  maxKeys: 10_000,
  /** Keys of one name that have not ended: the old and the new one while a program changes over. */
  maxValidPerName: 2,
  /** For how long a key that has ended is listed. */
  endedKeptMs: 30 * 24 * 60 * 60 * 1000,
  /** Patterns for topics, and as many for types. */
  maxPatterns: 64,
  maxRatePerSecond: 1_000_000,
  minExpiresInSeconds: 1,
  maxExpiresInSeconds: 10 * 365 * 24 * 60 * 60,
  ticket: { defaultSeconds: 60, maxSeconds: 15 * 60, maxBytes: 4096 },
  /** A working day. */
  maxSessionSeconds: 12 * 60 * 60,
} as const

/** What a key is for. */
export interface KeyRights {
  /** 1 to 64 of `A-Z a-z 0-9 . _ -`; says whose key it is. */
  readonly name: string
  /** One at least. */
  readonly scopes: readonly Scope[]
  /** Patterns such as `orders` or `orders.*`; null: all topics. */
  readonly topics: readonly string[] | null
  /** Patterns such as `order.paid` or `order.**`; null: all types. */
  readonly types: readonly string[] | null
  /** Events per second, 1 to 1,000,000; null: no limit of its own. */
  readonly ratePerSecond: number | null
}

/** What a caller may do. */
export interface Grant extends KeyRights {
  /** '' for a server without keys. */
  readonly keyId: string
  /** Milliseconds since 1970; null: it does not expire. */
  readonly expiresAtMs: number | null
  allows(scope: Scope): boolean
  allowsTopic(topic: string): boolean
  allowsType(type: string): boolean
}

/** A key as it is listed. Times are microseconds since 1970. The key itself is stored nowhere. */
export interface KeyDescription extends KeyRights {
  /** 12 characters, also a part of the key. */
  readonly keyId: string
  readonly createdAtMicros: number
  readonly expiresAtMicros: number | null
  readonly revokedAtMicros: number | null
  /** To the minute; null: never. */
  readonly lastUsedAtMicros: number | null
}

export interface KeyRequest extends KeyRights {
  /** Seconds from now, 1 to 10 years; null: it does not expire. */
  readonly expiresInSeconds: number | null
}

export interface CreatedKey {
  /** The key. It is told this once. */
  readonly key: string
  readonly description: KeyDescription
}

export interface KeyPage {
  /** By name, then by id. */
  readonly keys: readonly KeyDescription[]
  /** Null at the end. */
  readonly nextCursor: string | null
}

export interface TicketRequest {
  /** Some of `subscribe`, `read` and `operate`, of those that the key has. Null: `subscribe` and `read`, as far as the key has them. */
  readonly scopes: readonly Scope[] | null
  /** Narrow those of the key; null: as the key. */
  readonly topics: readonly string[] | null
  readonly types: readonly string[] | null
  /** For how many seconds it can be used, 1 to 900; null: 60. What it has opened may stay open longer. */
  readonly usableForSeconds: number | null
}

export interface Ticket {
  readonly ticket: string
  /** Microseconds since 1970. */
  readonly usableUntilMicros: number
}

/** A browser's own way to use a key: made by a login, kept in a cookie. */
export interface Session {
  /** Not the key; each login makes another one. */
  readonly session: string
  /** That of the key. */
  readonly grant: Grant
  readonly usableForSeconds: number
}

export interface Keys {
  /**
   * Makes a key. When the promise resolves it is stored, and every process takes it.
   * Errors: `invalid_event` (names the field), `already_exists` (two valid keys have the name), `failed_precondition` (10,000
   * keys are stored), `unavailable` (the outcome is unknown: list the keys).
   */
  create(request: KeyRequest): Promise<CreatedKey>

  /**
   * Lists keys, also those that have ended, for 30 days. Errors: `invalid_event` (a bad limit or cursor), `unavailable`.
   * @param query.limit 1 to 1,000.
   */
  list(query: { readonly limit: number; readonly cursor: string | null }): Promise<KeyPage>

  /**
   * Ends a key for good. When the promise resolves, this process refuses it and has called the listeners of `onEnded`; any
   * other process does within 5 s. When it was revoked before, the first time stays.
   * Errors: `not_found`, `unavailable` (the outcome is unknown: revoke it again).
   */
  revoke(keyId: string): Promise<void>

  /**
   * What a key allows; null for every wrong one, whatever is wrong with it: unknown, another secret, revoked or
   * expired. At once for a text that was checked before; a text that is new here may ask the store, which it does at most
   * once per second for all. Keys that were right stay so while the store is unreachable.
   * Errors: `unavailable` (the store does not answer, and the text is new here).
   */
  check(text: string): Grant | null | Promise<Grant | null>

  /** As `check`, for tickets: what one opens ends with its key, not with the ticket. A key is no ticket, nor is a ticket a key. */
  checkTicket(text: string): Promise<Grant | null>

  /** As `check`, for sessions: the grant is that of the key, and what a session opens ends with the key. */
  checkSession(text: string): Promise<Grant | null>

  /**
   * Calls the listener once when the key is revoked or expires, within 5 s; soon, when it has ended already. Never for the
   * grant of a server without keys. Returns a function that takes the listener back.
   */
  onEnded(keyId: string, listener: () => void): () => void

  /**
   * Makes a ticket for a browser, which may appear in a URL: narrower than the key, and it ends with it. Every process takes it.
   * @param grant of the key, from `check`.
   * Errors: `invalid_event` (names the field), `permission_denied` (a scope that the key lacks), `unauthenticated` (the key has
   * ended).
   */
  createTicket(grant: Grant, request: TicketRequest): Ticket | Promise<Ticket>

  /**
   * Makes a session that allows all that the key does, for 12 h or until the key expires; null for every wrong key. Every
   * process takes it, and it ends with the key. Errors: `unavailable`, as `check`.
   */
  createSession(key: string): Promise<Session | null>
}
