// Collects the observations that a watch reports in addition to the status (observations.ts).
//
// Job: read this server's totals from its metrics, and query the database now and then, however many callers watch. A
// caller never waits for the database: it gets the latest result, and a query that takes too long has none.
// Not its job: the status, and the size of the log (core.ts).

import { lanes } from '../event/event.ts'
import { withinMs } from '../lib/abort.ts'
import type { LandingTotals, Observations, PublishedTotals, StoreObservation } from '../pipeline/observations.ts'
import type { EventStore } from '../store/event-store.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** Minimum time between two queries of the database. */
const storeEveryMs = 5000

/** The result of a query that takes longer is null. */
const maxStoreAnswerMs = 3000

export interface ObserverParts {
  readonly store: EventStore
  readonly metrics: Metrics
  /** Whether this process accepts events, and whether it lands them; without that, the totals are null. */
  readonly takes: boolean
  readonly lands: boolean
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

export class Observer {
  readonly #parts: ObserverParts
  #store: StoreObservation | null = null
  #queriedAtMs = Number.NEGATIVE_INFINITY
  #isQuerying = false

  constructor(parts: ObserverParts) {
    this.#parts = parts
  }

  /** Returns what is known now. When the last query of the database is old, starts the next one. */
  read(): Pick<Observations, 'published' | 'landing' | 'store'> {
    this.#queryStore()
    return { ...this.totals(), store: this.#store }
  }

  /** The totals alone, from memory. */
  totals(): Pick<Observations, 'published' | 'landing'> {
    const { takes, lands, metrics } = this.#parts
    return { published: takes ? publishedTotals(metrics) : null, landing: lands ? landingTotals(metrics) : null }
  }

  #queryStore(): void {
    const { store, monotonicNow } = this.#parts
    // One query at a time, so that they do not pile up at a hanging database.
    if (this.#isQuerying || monotonicNow() - this.#queriedAtMs < storeEveryMs) return
    this.#queriedAtMs = monotonicNow()
    this.#isQuerying = true
    const answer = store.observe().catch(() => null)
    void answer.then(() => {
      this.#isQuerying = false
    })
    void withinMs(answer, maxStoreAnswerMs, null).then((observation) => {
      this.#store = observation
    })
  }
}

function publishedTotals(metrics: Metrics): PublishedTotals {
  const { eventsReceived, eventsAccepted, eventsRejected, eventsDropped } = metrics
  const [high, normal, low] = lanes.map((lane) => eventsAccepted.total({ lane }))
  return {
    received: eventsReceived.total(),
    accepted: eventsAccepted.total(),
    rejected: eventsRejected.total(),
    dropped: eventsDropped.total(),
    acceptedByLane: { high: high!, normal: normal!, low: low! },
  }
}

function landingTotals({ landingRows, landingDuplicates, landingConflicts, landingDuration }: Metrics): LandingTotals {
  const { count, sum, buckets } = landingDuration.totals()
  return {
    rows: landingRows.total(),
    duplicates: landingDuplicates.total(),
    conflicts: landingConflicts.total(),
    batches: count,
    seconds: sum,
    durations: buckets.map(({ upTo, count: batches }) => ({ upToSeconds: upTo, batches })),
  }
}
