// Requests and their replies, as the log keeps them. Part of the log's contract (event-log.ts).
//
// A request is an event that is appended with `once`: its id is registered in the step that appends it. Its reply is
// stored in the step that settles it, and announced afterwards to the process that waits for it. An announcement may be
// missed; what is stored is the truth. The content of a reply is the core's.
//
// A topic of requests has one partition, and its requests are appended to the lane normal. Each is an entry, and so a
// delivery, of its own.

/**
 * Registers the id of a request in the step that appends its event. The append is to partition 0, lane normal, with one
 * batch of one event (`internal` otherwise).
 */
export interface RequestRegistration {
  /** Unique in the topic, 1 to 512 bytes. */
  readonly id: string
  /** Tells two requests with one id apart, 1 to 64 bytes. */
  readonly fingerprint: string
  /** How long the id is known when no reply is stored under it. */
  readonly ttlMs: number
}

/**
 * A reply that is stored in the step of a settle. The first one of a request stays. For a request that is not known, no
 * longer, or by now with another event, nothing is stored and nothing is announced.
 */
export interface ReplyToStore {
  readonly id: string
  readonly bytes: Uint8Array
  /** How long it is kept. */
  readonly ttlMs: number
  /** To which listener it is announced. [A-Za-z0-9-]{1,64} */
  readonly inbox: string
}

export type StoredRequest =
  /** Never handed out. */
  | { readonly stage: 'accepted' }
  /** Handed out at least once. */
  | { readonly stage: 'started' }
  | { readonly stage: 'replied'; readonly bytes: Uint8Array }

export interface ReplyListener {
  /** A reply was stored and announced to this inbox. */
  onReply(id: string, bytes: Uint8Array): void
  /** Announcements may have been missed: read again what is waited for. */
  onMissed(): void
}

export interface Replies {
  /**
   * What is stored under a request's id; null when nothing is, or its time to live has ended. Errors: `not_found` (topic or
   * group), `unavailable`.
   */
  get(topic: string, group: string, id: string): Promise<StoredRequest | null>

  /**
   * Announcements to an inbox for requests of a topic, until `stop` is called. When the promise resolves, no
   * announcement of a later settle is missed unless `onMissed` is called. Errors: `not_found` (topic), `unavailable`.
   */
  listen(topic: string, inbox: string, listener: ReplyListener): Promise<() => void>
}
