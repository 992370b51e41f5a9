// The keys that are valid now, in memory: what every call is checked against.
//
// Job: a check without a wait for keys that were checked before; a key that another process has made is valid at once, and one
// that was revoked there ends within 5 s; an outage of the store shuts nobody out.
// Not its job: making keys (api-keys.ts), what a grant allows (grant.ts).
//
// A wrong key looks the same whatever is wrong with it. The first time it is compared, in constant time, with the hash of the
// key of its id, or with a random one; then the store is read, as for a key that another process may just have made; then it is
// remembered as wrong.

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { MillraceError } from '../errors.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import type { Grant } from '../pipeline/keys.ts'
import type { ApiKeys, ApiKeyUse, StoredApiKey } from '../store/api-keys.ts'
import { createGrant } from './grant.ts'
import { hashOfKey, readKey } from './key-text.ts'

export interface KeyRingOptions {
  readonly store: Pick<ApiKeys, 'listApiKeys' | 'noteApiKeysUsed'>
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly monotonicNow: () => number
}

export interface RingKey {
  readonly grant: Grant
  readonly hash: Uint8Array
  /** The text that was right, once one was. */
  text: string | null
  /** Uses until then are noted. */
  usedUntilMs: number
}

const readEveryMs = 2000
/** Texts that are new here cannot make this process read the store more often. */
const minReadIntervalMs = 1000
/** How long a check waits for the store. */
const maxReadMs = 5000
const keysPerPage = 1000
const maxChecksInStore = 1000
const maxWrongTexts = 10_000
const minuteMs = 60_000

export class KeyRing {
  readonly #options: KeyRingOptions
  readonly #closing = new AbortController()
  /** Compared with keys whose id is unknown. */
  readonly #noHash = randomBytes(32)
  #keys: ReadonlyMap<string, RingKey> = new Map()
  /** At most one text for each key. */
  readonly #rightTexts = new Map<string, RingKey>()
  /** No read can make them right: who makes a key tells its text after it is stored. */
  readonly #wrongTexts = new Set<string>()
  readonly #listeners = new Map<string, Set<() => void>>()
  #uses = new Map<string, ApiKeyUse>()
  /** A read that has not begun. */
  #nextRead: Promise<boolean> | null = null
  #lastRead: Promise<boolean> = Promise.resolve(true)
  #readAtMs = Number.NEGATIVE_INFINITY
  /** Those that were added since the last read began, which may not have seen them. */
  #added: RingKey[] = []
  #checksInStore = 0
  #running: Promise<void> | null = null

  constructor(options: KeyRingOptions) {
    this.#options = options
  }

  /** From now on the keys are read every 2 s. Until the first read, a check waits for it. */
  start(): void {
    this.#running ??= this.#run()
  }

  /** As Keys.check. */
  check(text: string): Grant | null | Promise<Grant | null> {
    const key = this.#rightTexts.get(text)
    if (key !== undefined && this.#isValid(key)) return this.use(key)
    if (this.#wrongTexts.has(text)) return null
    const found = this.#find(text)
    return found === undefined ? this.#checkInStore(text) : found && this.use(found)
  }

  /** As Keys.onEnded. */
  onEnded(keyId: string, listener: () => void): () => void {
    const key = this.#keys.get(keyId)
    if (key === undefined || !this.#isValid(key)) {
      setImmediate(listener)
      return () => {}
    }
    const listeners = this.#listeners.get(keyId) ?? new Set()
    this.#listeners.set(keyId, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.#listeners.get(keyId) === listeners) this.#listeners.delete(keyId)
    }
  }

  /** The valid key of this id. */
  get(keyId: string): RingKey | undefined {
    const key = this.#keys.get(keyId)
    return key !== undefined && this.#isValid(key) ? key : undefined
  }

  /** The valid key of this id, also when another process has just made it. Errors: `unavailable`. */
  async find(keyId: string): Promise<RingKey | null> {
    const key = this.get(keyId)
    if (key !== undefined) return key
    const isRead = await this.#readForCheck()
    return this.get(keyId) ?? (isRead ? null : refuseUnchecked())
  }

  /** Adds a key that is stored already. */
  add(stored: StoredApiKey): void {
    const key = ringKeyOf(stored)
    if (key === null) return
    this.#added.push(key)
    this.#keys = new Map(this.#keys).set(stored.keyId, key)
  }

  /** Resolves when a read that began after this call has ended: whether it has succeeded, within 5 s. Never rejects. */
  readAgain(): Promise<boolean> {
    this.#nextRead ??= this.#readNext()
    return withinMs(this.#nextRead, maxReadMs, false)
  }

  /** Notes the last uses. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.readAgain()
      for (const key of this.#keys.values()) if (!this.#isValid(key)) this.#end(key)
      await this.#noteUses()
      await sleep(readEveryMs, signal)
    }
    await this.#noteUses()
  }

  /** Returns null for a text that is no key at all, undefined for one that only the store can judge. */
  #find(text: string): RingKey | null | undefined {
    const reading = readKey(text)
    if ('problem' in reading) return null
    const key = this.#keys.get(reading.keyId)
    const isRight = timingSafeEqual(hashOfKey(text), key?.hash ?? this.#noHash)
    if (key === undefined || !isRight || !this.#isValid(key)) return undefined
    key.text = text
    this.#rightTexts.set(text, key)
    return key
  }

  async #checkInStore(text: string): Promise<Grant | null> {
    const isRead = await this.#readForCheck()
    const key = this.#find(text)
    if (key) return this.use(key)
    if (!isRead) refuseUnchecked()
    if (this.#wrongTexts.size >= maxWrongTexts) {
      for (const oldest of this.#wrongTexts) {
        this.#wrongTexts.delete(oldest)
        break
      }
    }
    this.#wrongTexts.add(text)
    return null
  }

  async #readForCheck(): Promise<boolean> {
    if (this.#checksInStore >= maxChecksInStore) {
      const retryAfterMs = minReadIntervalMs
      throw new MillraceError('unavailable', 'too many keys are checked at once; try again', { retryAfterMs })
    }
    this.#checksInStore++
    const isRead = await this.readAgain()
    this.#checksInStore--
    return isRead
  }

  #isValid({ grant }: RingKey): boolean {
    return grant.expiresAtMs === null || this.#options.now() < grant.expiresAtMs
  }

  /** The key's grant; notes that it was used. */
  use(key: RingKey): Grant {
    const nowMs = this.#options.now()
    if (nowMs >= key.usedUntilMs) {
      const minute = Math.floor(nowMs / minuteMs)
      key.usedUntilMs = (minute + 1) * minuteMs
      const { keyId } = key.grant
      this.#uses.set(keyId, { keyId, lastUsedAtMicros: minute * minuteMs * 1000 })
    }
    return key.grant
  }

  #end(key: RingKey): void {
    const { keyId } = key.grant
    if (key.text !== null) this.#rightTexts.delete(key.text)
    const listeners = this.#listeners.get(keyId) ?? []
    this.#listeners.delete(keyId)
    for (const listener of listeners) listener()
  }

  async #readNext(): Promise<boolean> {
    await this.#lastRead
    const waitMs = this.#readAtMs + minReadIntervalMs - this.#options.monotonicNow()
    if (waitMs > 0) await sleep(waitMs, this.#closing.signal)
    this.#nextRead = null
    this.#readAtMs = this.#options.monotonicNow()
    this.#added = []
    this.#lastRead = this.#read().then(
      () => true,
      () => false,
    )
    return await this.#lastRead
  }

  async #read(): Promise<void> {
    const keys = new Map<string, RingKey>()
    for (let after: StoredApiKey | null = null; ; ) {
      const page: readonly StoredApiKey[] = await this.#options.store.listApiKeys({ after, limit: keysPerPage })
      for (const stored of page) {
        // A key never changes, apart from its end, so what is known of it stays.
        const key = stored.revokedAtMicros === null ? (this.#keys.get(stored.keyId) ?? ringKeyOf(stored)) : null
        if (key !== null && this.#isValid(key)) keys.set(stored.keyId, key)
      }
      after = page.at(-1) ?? null
      if (page.length < keysPerPage) break
    }
    for (const key of this.#added) keys.set(key.grant.keyId, key)
    const before = this.#keys
    this.#keys = keys
    for (const [keyId, key] of before) if (!keys.has(keyId)) this.#end(key)
  }

  async #noteUses(): Promise<void> {
    const uses = this.#uses
    if (uses.size === 0) return
    this.#uses = new Map()
    // The store is out: the uses are noted later, unless there are newer ones.
    await this.#options.store.noteApiKeysUsed([...uses.values()]).catch(() => {
      this.#uses = new Map([...uses, ...this.#uses])
    })
  }
}

function refuseUnchecked(): never {
  throw new MillraceError('unavailable', 'the key cannot be checked: the database does not answer')
}

/** Null for a row that no Millrace has written, whose patterns are not valid: such a key allows nothing. */
function ringKeyOf({ hash, expiresAtMicros, ...stored }: StoredApiKey): RingKey | null {
  try {
    const { keyId, name, scopes, topics, types, ratePerSecond } = stored
    const expiresAtMs = expiresAtMicros === null ? null : expiresAtMicros / 1000
    const grant = createGrant({ keyId, name, scopes, topics, types, ratePerSecond, expiresAtMs })
    return { grant, hash, text: null, usedUntilMs: 0 }
  } catch {
    return null
  }
}
