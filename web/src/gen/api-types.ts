// Generated from the OpenAPI document of the HTTP API by `npm run generate`. Do not edit.

export type Event = {
  readonly type: string
  readonly id?: string
  readonly source?: string
  readonly subject?: string
  readonly time?: string
  /** Any JSON; byte for byte. */
  readonly data?: unknown
  /** Data that is no JSON. */
  readonly data_base64?: string
  readonly data_content_type?: string
  readonly priority?: "low" | "normal" | "high"
  readonly key?: string
  readonly attributes?: { readonly [name: string]: string }
}

export type StoredEvent = {
  readonly event_id: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly time: string
  readonly received_at: string
  readonly topic: string
  readonly priority: "low" | "normal" | "high"
  readonly key: string
  readonly data_content_type: string
  readonly attributes: { readonly [name: string]: string }
  /** Any JSON; byte for byte. */
  readonly data?: unknown
  /** Data that is no JSON. */
  readonly data_base64?: string
  /** Why the data is left out. */
  readonly data_omitted?: string
}

export type Rejection = {
  readonly index: number
  readonly id: string
  readonly code: string
  readonly message: string
  readonly retry_after?: number
}

export type Verdict = {
  readonly accepted: number
  readonly dropped: number
  /** NDJSON only: how many there are; at most 1,000 are listed. */
  readonly rejected?: number
  readonly rejections: readonly (Rejection)[]
  readonly durability: "memory" | "broker" | "disk" | "replicated"
}

export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  /** One of the codes of docs/errors.md. */
  readonly code: string
  /** What is wrong. */
  readonly field?: string
  /** Ends with the id of the request. */
  readonly instance?: string
  readonly accepted?: number
  readonly dropped?: number
  readonly rejected?: number
  readonly rejections?: readonly (Rejection)[]
}

export type EventPage = {
  readonly events: readonly (StoredEvent)[]
  readonly next_cursor: string | null
  readonly live_cursor: string | null
}

export type Journey = {
  readonly event: StoredEvent
  readonly journey: {
    readonly state: "landed" | "dead" | "waiting"
    readonly steps: readonly (JourneyStep)[]
  }
}

export type JourneyStep = {
  readonly step: "accepted" | "landed" | "failed" | "dead" | "redriven" | "handed_out" | "begun" | "ended" | "settled" | "not_kept"
  readonly at: string | null
  readonly group?: string
  readonly attempt?: number
  readonly code?: string
  readonly message?: string
  readonly position?: string
  readonly dead_letter_id?: string
}

export type Gap = {
  readonly dropped: number | null
  readonly from: string
  readonly to: string
  readonly reason: "slow" | "trimmed" | "lost"
}

export type FailedAttempt = {
  readonly attempt: number
  readonly at: string
  readonly code: string
  readonly message: string
  readonly position: string
}

export type DeadLetter = {
  readonly dead_letter_id: string
  readonly event_id: string | null
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly source: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly first_failed_at: string
  readonly dead_at: string
  /** Every attempt since the event was accepted or last redriven. */
  readonly history: readonly (FailedAttempt)[]
  readonly redriven_at: string | null
  readonly redrives: number
}

export type DeadLetterPage = {
  readonly dead_letters: readonly (DeadLetter)[]
  readonly next_cursor: string | null
}

export type DeadLetterDetail = {
  readonly dead_letter_id: string
  readonly event_id: string | null
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly source: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly first_failed_at: string
  readonly dead_at: string
  /** Every attempt since the event was accepted or last redriven. */
  readonly history: readonly (FailedAttempt)[]
  readonly redriven_at: string | null
  readonly redrives: number
  readonly damaged_base64: string | null
  readonly event: StoredEvent | null
}

export type DeadLetterCause = {
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly code: string
  readonly message: string
  readonly dead_letters: number
  readonly first_dead_at: string
  readonly last_dead_at: string
}

export type DeadLetterCauses = {
  readonly causes: readonly (DeadLetterCause)[]
}

export type RedriveAnswer = {
  readonly matched: number
  readonly redriven: number
  readonly skipped: number
  readonly failed_again: number
  /** Why it ended before the last letter. */
  readonly stopped: string | null
  readonly next_cursor: string | null
}

export type GroupState = {
  readonly is: "running" | "paused" | "outage" | "no_worker" | "limited"
  readonly by: "person" | "system" | null
  readonly reason: string | null
  readonly since: string | null
}

export type GroupStatus = {
  readonly name: string
  /** Empty: all types. */
  readonly types: readonly (string)[]
  readonly waiting: number | null
  readonly ready: number | null
  readonly scheduled: number | null
  readonly held: number | null
  readonly in_flight: number | null
  readonly skipped: number | null
  readonly oldest_waiting_seconds: number | null
  readonly state: GroupState
}

export type Group = {
  readonly topic: string
  readonly name: string
  /** Empty: all types. */
  readonly types: readonly (string)[]
  readonly waiting: number | null
  readonly ready: number | null
  readonly scheduled: number | null
  readonly held: number | null
  readonly in_flight: number | null
  readonly skipped: number | null
  readonly oldest_waiting_seconds: number | null
  readonly state: GroupState
  readonly rate: number | null
  readonly options: {
    readonly ordered: boolean
    readonly timeout_ms: number
    readonly max_attempts: number
    readonly initial_delay_ms: number
    readonly max_delay_ms: number
    readonly on_exhausted: string
    readonly group_concurrency: number | null
    readonly rate_per_second: number | null
    readonly limit_per_key: number | null
  } | null
}

export type HeldKey = {
  readonly key: string
  readonly partition: number
  readonly priority: "low" | "normal" | "high"
  /** That wait, the first one included. */
  readonly events: number
  /** That the first one has had. */
  readonly attempts: number
  /** Null: when a person lets it go. */
  readonly due_at: string | null
}

export type HeldKeys = {
  readonly keys: readonly (HeldKey)[]
  readonly has_more: boolean
}

export type Worker = {
  readonly topic: string
  readonly group: string
  readonly peer: string
  readonly since: string
  readonly in_flight: number
  readonly max_in_flight: number
}

export type Subscriber = {
  readonly subscriber_id: string
  readonly topic: string
  readonly since: string
  readonly lag_events: number | null
  /** False while it reads what was before it began. */
  readonly is_live: boolean
  readonly buffered_events: number
  readonly buffered_bytes: number
  readonly sent_events: number
  readonly dropped_events: number | null
}

export type Agent = {
  readonly agent_id: string
  readonly last_seen: string
  readonly online: boolean
  readonly metadata: { readonly [name: string]: unknown }
}

export type FileDescription = {
  readonly file_id: string
  readonly size: number
  readonly sha256: string
  /** Null while there is none. */
  readonly analysis: unknown
  readonly filename: string
  readonly content_type: string
  readonly received_at: string
}

export type StoredFile = {
  readonly file_id: string
  readonly size: number
  readonly sha256: string
  /** Null while there is none. */
  readonly analysis: unknown
}

export type KeyDescription = {
  readonly key_id: string
  readonly name: string
  readonly scopes: readonly ("publish" | "subscribe" | "work" | "read" | "operate" | "admin")[]
  readonly topics: readonly (string)[] | null
  readonly types: readonly (string)[] | null
  readonly rate_per_second: number | null
  readonly created_at: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
  readonly last_used_at: string | null
}

export type CreatedKey = {
  /** The key; it is told this once. */
  readonly key: string
  readonly key_id: string
  readonly name: string
  readonly scopes: readonly ("publish" | "subscribe" | "work" | "read" | "operate" | "admin")[]
  readonly topics: readonly (string)[] | null
  readonly types: readonly (string)[] | null
  readonly rate_per_second: number | null
  readonly created_at: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
  readonly last_used_at: string | null
}

export type Found = {
  readonly kind: "event" | "dead_letter" | "file" | "request" | "agent" | "group" | "subscriber" | "key"
  readonly href: string
}

export type Cause = {
  readonly component: string
  readonly reason: string
  readonly message: string
}

export type Readiness = {
  readonly ready: boolean
  readonly state: "ready" | "degraded" | "unready"
  readonly causes: readonly (Cause)[]
  readonly components?: readonly ({
    readonly name: string
    readonly state: string
  })[]
}

export type Status = {
  readonly version: string
  readonly uptime_seconds: number
  readonly durability: string
  readonly log: {
    readonly driver: string
    readonly epoch: number | null
  }
  readonly store: {
    readonly driver: string
    readonly up: boolean
  }
  readonly state: "ready" | "degraded" | "unready"
  readonly causes: readonly (Cause)[]
  readonly topics: readonly (TopicStatus)[]
  readonly ledger: readonly (LedgerRow)[]
  readonly processes: readonly (ServerProcess)[]
  readonly subscribers: number | null
  readonly workers: number | null
}

export type TopicStatus = {
  readonly name: string
  readonly partitions: number
  readonly groups: readonly (GroupStatus)[]
}

export type LedgerRow = {
  readonly topic: string
  readonly group: string
  readonly accepted: number | null
  readonly reopened: number | null
  readonly waiting: number | null
  readonly landed: number | null
  readonly dead: number | null
  readonly lost: number | null
  readonly balanced: boolean | null
}

export type ServerProcess = {
  readonly id: string
  readonly roles: readonly (string)[]
  readonly host: string
  readonly version: string
  readonly started_at: string
}

export type Observations = {
  readonly at_seconds: number
  readonly published: {
    readonly received: number
    readonly accepted: number
    readonly rejected: number
    readonly dropped: number
    readonly accepted_by_lane: {
      readonly high: number
      readonly normal: number
      readonly low: number
    }
  } | null
  readonly landing: { readonly [name: string]: unknown } | null
  readonly log: {
    readonly used_bytes: number | null
    readonly limit_bytes: number | null
    readonly problem: string | null
    readonly persistence: string
  }
  readonly store: {
    readonly events_bytes: number | null
    readonly dead_letters: DeadLetterTotals | null
    readonly recent: { readonly [name: string]: unknown } | null
    readonly statements: { readonly [name: string]: unknown } | null
  } | null
}

export type DeadLetterTotals = {
  readonly open: number
  readonly redriven: number
  /** Whether there are more than were counted. */
  readonly more: boolean
}

export type Observed = {
  readonly status: Status
  readonly observations: Observations | null
}

export type Session = {
  readonly needs_key: boolean
  readonly key: {
    readonly name: string
    readonly scopes: readonly ("publish" | "subscribe" | "work" | "read" | "operate" | "admin")[]
    readonly topics: readonly (string)[] | null
    readonly types: readonly (string)[] | null
  } | null
}

export type History = {
  /** Since 1970; each of the other lists has one value for each. */
  readonly seconds: readonly (number)[]
  readonly accepted: readonly (number | null)[]
  readonly rejected: readonly (number | null)[]
  readonly landed: readonly (number | null)[]
  readonly dead: readonly (number | null)[]
  readonly waiting: readonly (number | null)[]
  readonly landing_p50_seconds: readonly (number | null)[]
  readonly landing_p99_seconds: readonly (number | null)[]
}

export interface Operations {
  readonly 'POST /v1/events': {
    readonly query: {
      readonly topic?: string
      readonly overflow?: "reject" | "drop" | "wait"
    }
    readonly body: Event | readonly (Event)[]
    readonly answer: Verdict
  }
  readonly 'GET /v1/events': {
    readonly query: {
      readonly topic?: string
      readonly type?: string
      readonly source?: string
      readonly since?: string
      readonly until?: string
      readonly limit?: number
      readonly cursor?: string
    }
    readonly answer: EventPage
  }
  readonly 'GET /v1/events/:id': {
    readonly query: {
      readonly source?: string
    }
    readonly answer: Journey
  }
  readonly 'GET /v1/events/live': {
    readonly query: {
      readonly topic?: string
      readonly type?: readonly (string)[]
      readonly source?: readonly (string)[]
      readonly subject?: readonly (string)[]
      readonly from?: string
      readonly last_event_id?: string
      readonly subscriber_id?: string
      readonly max_buffered_events?: number
      readonly on_slow?: "drop_oldest" | "latest_per_key" | "disconnect"
      readonly live?: "sse" | "long-poll"
      readonly wait?: number
    }
    readonly answer: {
      readonly frames: readonly (unknown)[]
      readonly cursor: string
    }
  }
  readonly 'GET /v1/subscribers': {
    readonly query: {
      readonly limit?: number
      readonly cursor?: string
    }
    readonly answer: {
      readonly subscribers: readonly (Subscriber)[]
      readonly next_cursor: string | null
    }
  }
  readonly 'GET /v1/find/:id': {
    readonly answer: readonly (Found)[]
  }
  readonly 'GET /v1/dead-letters': {
    readonly query: {
      readonly topic?: string
      readonly group?: string
      readonly type?: string
      readonly code?: string
      readonly since?: string
      readonly until?: string
      readonly redriven?: boolean
      readonly by?: "cause"
      readonly limit?: number
      readonly cursor?: string
    }
    readonly answer: DeadLetterPage | DeadLetterCauses
  }
  readonly 'GET /v1/dead-letters/:id': {
    readonly answer: DeadLetterDetail
  }
  readonly 'DELETE /v1/dead-letters/:id': {
    readonly answer: {
      readonly deleted: number
    }
  }
  readonly 'POST /v1/dead-letters/redrive': {
    readonly body: {
      readonly dead_letter_ids?: readonly (string)[]
      readonly topic?: string
      readonly group?: string
      readonly type?: string
      readonly code?: string
      readonly since?: string
      readonly until?: string
      readonly redriven?: boolean
      readonly rate?: number
      readonly dry_run?: boolean
      readonly data?: unknown
      readonly data_base64?: unknown
      readonly data_content_type?: string
      readonly cursor?: string
    }
    readonly answer: RedriveAnswer
  }
  readonly 'GET /v1/groups': {
    readonly query: {
      readonly topic?: string
    }
    readonly answer: {
      readonly groups: readonly (Group)[]
    }
  }
  readonly 'DELETE /v1/groups/:topic/:group': {
    readonly answer: {
      readonly abandoned: number
    }
  }
  readonly 'POST /v1/groups/:topic/:group/pause': {
    readonly body: {
      readonly reason?: string
    }
    readonly answer: {
      readonly topic: string
      readonly group: string
      readonly reason: string
    }
  }
  readonly 'POST /v1/groups/:topic/:group/resume': {
    readonly body: {
      readonly rate?: number
    }
    readonly answer: {
      readonly topic: string
      readonly group: string
      readonly rate: number | null
    }
  }
  readonly 'GET /v1/groups/:topic/:group/keys': {
    readonly query: {
      readonly limit?: number
    }
    readonly answer: HeldKeys
  }
  readonly 'POST /v1/groups/:topic/:group/keys/:key/retry': {
    readonly answer: {
      readonly topic: string
      readonly group: string
      readonly key: string
      readonly action: string
    }
  }
  readonly 'POST /v1/groups/:topic/:group/keys/:key/release': {
    readonly answer: {
      readonly topic: string
      readonly group: string
      readonly key: string
      readonly action: string
    }
  }
  readonly 'POST /v1/groups/:topic/:group/keys/:key/skip': {
    readonly answer: {
      readonly topic: string
      readonly group: string
      readonly key: string
      readonly action: string
    }
  }
  readonly 'POST /v1/replay': {
    readonly body: {
      readonly topic?: string
      readonly group?: string
      readonly since?: string
      readonly from?: string
      readonly type?: string
      readonly rate?: number
      readonly dry_run?: boolean
      readonly cursor?: string
    }
    readonly answer: {
      readonly replayed: number
      readonly next_cursor: string | null
    }
  }
  readonly 'GET /v1/workers': {
    readonly answer: {
      readonly workers: readonly (Worker)[]
    }
  }
  readonly 'POST /v1/requests/:type': {
    readonly answer: {
      readonly request_id: string
      readonly stage: "accepted" | "started"
    }
  }
  readonly 'GET /v1/requests/:id': {
    readonly query: {
      readonly type?: string
    }
    readonly answer: {
      readonly request_id: string
      readonly stage: "accepted" | "started"
    }
  }
  readonly 'POST /v1/files': {
    readonly answer: StoredFile
  }
  readonly 'GET /v1/files/:id': {
    readonly answer: FileDescription
  }
  readonly 'GET /v1/files/:id/content': {
  }
  readonly 'POST /v1/heartbeats': {
    readonly body: {
      readonly agent_id: string
      readonly time?: string
      readonly metadata?: { readonly [name: string]: unknown }
    }
    readonly answer: {
    }
  }
  readonly 'GET /v1/agents': {
    readonly query: {
      readonly limit?: number
      readonly cursor?: string
    }
    readonly answer: {
      readonly agents: readonly (Agent)[]
      readonly next_cursor: string | null
    }
  }
  readonly 'GET /v1/agents/:id': {
    readonly answer: Agent
  }
  readonly 'GET /v1/status': {
    readonly answer: Status
  }
  readonly 'GET /v1/status/live': {
  }
  readonly 'GET /v1/status/history': {
    readonly answer: History
  }
  readonly 'GET /v1/keys': {
    readonly query: {
      readonly limit?: number
      readonly cursor?: string
    }
    readonly answer: {
      readonly keys: readonly (KeyDescription)[]
      readonly next_cursor: string | null
    }
  }
  readonly 'POST /v1/keys': {
    readonly body: {
      readonly name: string
      readonly scopes: readonly (string)[]
      readonly topics?: readonly (string)[] | null
      readonly types?: readonly (string)[] | null
      readonly rate_per_second?: number | null
      readonly expires_in?: number | null
    }
    readonly answer: CreatedKey
  }
  readonly 'DELETE /v1/keys/:id': {
    readonly answer: {
      readonly key_id: string
    }
  }
  readonly 'POST /v1/tickets': {
    readonly body: {
      readonly scopes?: readonly (string)[] | null
      readonly topics?: readonly (string)[] | null
      readonly types?: readonly (string)[] | null
      readonly usable_for?: number | null
    }
    readonly answer: {
      readonly ticket: string
      readonly usable_until: string
    }
  }
  readonly 'GET /v1/session': {
    readonly answer: Session
  }
  readonly 'POST /v1/session': {
    readonly body: {
      readonly key: string
    }
    readonly answer: Session
  }
  readonly 'DELETE /v1/session': {
    readonly answer: Session
  }
  readonly 'GET /livez': {
    readonly answer: {
      readonly live: boolean
    }
  }
  readonly 'GET /readyz': {
    readonly query: {
      readonly verbose?: string
    }
    readonly answer: Readiness
  }
  readonly 'GET /healthz': {
    readonly query: {
      readonly verbose?: string
    }
    readonly answer: Readiness
  }
  readonly 'GET /metrics': {
  }
  readonly 'GET /version': {
    readonly answer: {
      readonly version: string
      readonly commit: string | null
      readonly node: string
    }
  }
  readonly 'GET /openapi.json': {
    readonly answer: { readonly [name: string]: unknown }
  }
  readonly 'GET /docs': {
  }
  readonly 'GET /docs/:file': {
  }
  readonly 'GET /assets/:file': {
  }
  readonly 'GET /': {
  }
}
