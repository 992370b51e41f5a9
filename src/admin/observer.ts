// What a watcher wants to know beside the status (observations.ts).
//
// Job: read this server's totals from its metrics, and ask the database now and then, however many watch. Nobody waits for
// the database here: who asks gets what it said last, and whoever is late has said nothing.
// Not its job: the status, and what the log takes (core.ts).

import { lanes } from '../event/event.ts'
import { withinMs } from '../lib/abort.ts'
import type { LandingTotals, Observations, PublishedTotals, StoreObservation } from '../pipeline/observations.ts'
import type { EventStore } from '../store/event-store.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** The database is asked at most so often. */
const storeEveryMs = 5000

/** An answer that comes later than that is not waited for. */
const maxStoreAnswerMs = 3000

export interface ObserverParts {
  readonly store: EventStore
  readonly metrics: Metrics
  /** Whether this process takes events, and whether it lands them: of what it does not do there are no totals. */
  readonly takes: boolean
  readonly lands: boolean
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
}

export class Observer {
  readonly #parts: ObserverParts
  #store: StoreObservation | null = null
  #askedAtMs = Number.NEGATIVE_INFINITY
  #isAsking = false

  constructor(parts: ObserverParts) {
    this.#parts = parts
  }

  /** What is known at once. Asks the database for the next time, when its last answer is old. */
  read(): Pick<Observations, 'published' | 'landing' | 'store'> {
    const { takes, lands, metrics } = this.#parts
    this.#askStore()
    return {
      published: takes ? publishedTotals(metrics) : null,
      landing: lands ? landingTotals(metrics) : null,
      store: this.#store,
    }
  }

  #askStore(): void {
    const { store, monotonicNow } = this.#parts
    // One question at a time: a database that stands still must not gather them.
    if (this.#isAsking || monotonicNow() - this.#askedAtMs < storeEveryMs) return
    this.#askedAtMs = monotonicNow()
    this.#isAsking = true
    const answer = store.observe().catch(() => null)
    void answer.then(() => {
      this.#isAsking = false
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
