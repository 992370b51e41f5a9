// Who calls, and what the caller may do.
//
// Job: find the grant of a key or a ticket, refuse a call that it does not allow, and give each caller the pipeline as its key
// may use it. Both servers share one, so that a key's rate holds for gRPC and HTTP together.
// Not its job: which keys are valid (the pipeline's keys), what a call needs (scopes.ts), the form of a refusal.

import type { EventRate } from '../access/event-rate.ts'
import { everything } from '../access/grant.ts'
import { rateOf, restrictAtRate } from '../access/restricted-pipeline.ts'
import { MillraceError } from '../errors.ts'
import type { Grant, Scope } from '../pipeline/keys.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import { bearerOf } from './bearer.ts'
import type { Need } from './scopes.ts'

export interface Caller {
  readonly grant: Grant
  /** As the caller may use it. */
  readonly pipeline: Pipeline
  /** The rate of its key, if that has one. */
  readonly rate?: EventRate
}

/** The field of a refusal because no key was sent, and because a scope is missing. */
export const keyField = 'authorization'
export const scopeField = 'scope'

const ticketPrefix = 'mrt_'
const sessionPrefix = 'mrs_'

/** What is known of a call besides its key. */
export interface CallOrigin {
  readonly requestId: string
  /** Headers as they were sent. */
  readonly traceparent: string | undefined
  readonly tracestate: string | undefined
}

/** Decides who may call, and with which pipeline. */
export interface AccessControl {
  readonly needsKeys: boolean
  authorize(authorization: string | undefined, need: Need, origin?: CallOrigin): Caller | Promise<Caller>
  authorizeTicket(ticket: string, need: Need, origin?: CallOrigin): Promise<Caller>
  authorizeSession(session: string, need: Need, origin?: CallOrigin): Promise<Caller>
  /**
   * Resolves when it is certain that the caller may read: for a route that asks nothing of the pipeline. A gateway knows only
   * when the server has answered.
   */
  confirm(caller: Caller): Promise<void>
  /** What the caller may do; null without a key. A gateway asks the server. Errors: `unauthenticated`. */
  grantOf(caller: Caller): Promise<Grant | null>
  onEnded(caller: Caller, listener: () => void): () => void
}

export class Access implements AccessControl {
  readonly #pipeline: Pipeline
  readonly needsKeys: boolean
  /** Every caller of a server without keys; of calls that are open, the caller of any server. */
  readonly #anyone: Caller
  readonly #callers = new WeakMap<Grant, Caller>()

  constructor(pipeline: Pipeline, needsKeys: boolean) {
    this.#pipeline = pipeline
    this.needsKeys = needsKeys
    this.#anyone = { grant: everything, pipeline }
  }

  /**
   * Returns the caller, at once for a key that was checked before.
   * @param authorization the header, or the metadata, of this name.
   * Errors: `unauthenticated` (a wrong key; no key: its field is `keyField`), `permission_denied` (its field is `scopeField`), `unavailable` (a key
   * that is new here cannot be checked now).
   */
  authorize(authorization: string | undefined, need: Need): Caller | Promise<Caller> {
    if (!this.needsKeys || need === 'open') return this.#anyone
    const key = bearerOf(authorization)
    if (key === null) throw missing()
    if (key.startsWith(ticketPrefix)) return this.authorizeTicket(key, need)
    if (key.startsWith(sessionPrefix)) return this.authorizeSession(key, need)
    const grant = this.#pipeline.keys.check(key)
    return grant instanceof Promise ? grant.then((found) => this.#callerOf(found, need)) : this.#callerOf(grant, need)
  }

  /** As `authorize`, with a ticket. */
  async authorizeTicket(ticket: string, need: Need): Promise<Caller> {
    if (!this.needsKeys || need === 'open') return this.#anyone
    return this.#callerOf(await this.#pipeline.keys.checkTicket(ticket), need)
  }

  /** As `authorize`, with a session. */
  async authorizeSession(session: string, need: Need): Promise<Caller> {
    if (!this.needsKeys || need === 'open') return this.#anyone
    return this.#callerOf(await this.#pipeline.keys.checkSession(session), need)
  }

  /**
   * Calls the listener once when the caller's key is revoked or expires, within 5 s; never without a key. Returns a function that
   * takes the listener back.
   */
  onEnded({ grant }: Caller, listener: () => void): () => void {
    return grant === everything ? () => {} : this.#pipeline.keys.onEnded(grant.keyId, listener)
  }

  async confirm(): Promise<void> {}

  async grantOf({ grant }: Caller): Promise<Grant | null> {
    return grant === everything ? null : grant
  }

  #callerOf(grant: Grant | null, need: Need): Caller {
    if (grant === null) throw wrongKey()
    if (need !== 'any' && need !== 'open' && !need.split(' or ').some((scope) => grant.allows(scope as Scope))) {
      const text = `the key lacks the scope ${need}; it has ${grant.scopes.join(', ')}`
      throw new MillraceError('permission_denied', text, { field: scopeField })
    }
    const known = this.#callers.get(grant)
    if (known !== undefined) return known
    const rate = rateOf(grant)
    const pipeline = restrictAtRate(this.#pipeline, grant, rate)
    const caller = rate === null ? { grant, pipeline } : { grant, pipeline, rate }
    this.#callers.set(grant, caller)
    return caller
  }
}

/** How long what was begun may go on whose key has ended: the request that revokes its own key is answered. */
export const endedKeyGraceMs = 1000

/** Why a stream ends whose key has ended. */
export function endedKey(): MillraceError {
  return new MillraceError('unauthenticated', 'the key was revoked, or has expired')
}

function missing(): MillraceError {
  return new MillraceError('unauthenticated', 'a key is missing: send it as authorization: Bearer $MILLRACE_KEY', {
    field: keyField,
  })
}

/** The same for every wrong key: it tells nothing about what is stored. */
export function wrongKey(): MillraceError {
  return new MillraceError('unauthenticated', 'the key is not valid: it is wrong, revoked or expired')
}
