// What was done from this tab, newest first: kept in its session, so that a reload has it too.
//
// Work goes on while another page is shown; what ran when the page was reloaded is not followed any more.

import { useSyncExternalStore } from 'react'
import { newId } from '../new-id.ts'
import { keep, kept } from './tab-session.ts'

export const maxActivities = 100
const maxSummaryLength = 120
const maxAnswerLength = 4000
const storageName = 'millrace.try.activities'

export type ActivityKind = 'heartbeat' | 'text' | 'file' | 'event'

/**
 * `waiting`: taken, and its end had not come while it was followed. `dead`: given up by a group. `left`: the page was
 * reloaded meanwhile.
 */
export type ActivityState = 'running' | 'done' | 'waiting' | 'dead' | 'failed' | 'cancelled' | 'left'

export interface Step {
  readonly name: string
  /** Since the beginning, as this page saw it. */
  readonly afterMs: number
  readonly detail?: string
}

export interface Progress {
  readonly sentBytes: number
  readonly totalBytes: number
}

export interface EventName {
  readonly id: string
  readonly source?: string
}

export interface Activity {
  readonly key: string
  readonly kind: ActivityKind
  readonly summary: string
  readonly startedAt: string
  readonly state: ActivityState
  readonly steps: readonly Step[]
  /** What it waits for; null: for nothing. */
  readonly doing: string | null
  readonly progress: Progress | null
  /** As it came. */
  readonly answer: string | null
  /** Why it failed, or is not known to have ended. */
  readonly problem: string | null
  /** The page with its journey; null while there is none. */
  readonly page: string | null
  /** The event that it became; null: none, or not known yet. */
  readonly event: EventName | null
}

/** One activity while it runs. */
export class Run {
  readonly signal: AbortSignal
  readonly #update: (change: Partial<Activity>) => void
  readonly #startedMs = performance.now()
  #steps: readonly Step[] = []

  constructor(signal: AbortSignal, update: (change: Partial<Activity>) => void) {
    this.signal = signal
    this.#update = update
  }

  /** Notes that something has happened just now, and what it waits for next. */
  step(
    name: string,
    { detail, doing = null }: { readonly detail?: string; readonly doing?: string | null } = {},
  ): void {
    const afterMs = performance.now() - this.#startedMs
    this.#steps = [...this.#steps, { name, afterMs, ...(detail === undefined ? {} : { detail }) }]
    this.#update({ steps: this.#steps, doing })
  }

  set(change: Partial<Pick<Activity, 'progress' | 'answer' | 'page' | 'event'>>): void {
    const { answer } = change
    this.#update(answer == null ? change : { ...change, answer: answer.slice(0, maxAnswerLength) })
  }
}

/** How an activity ended that has not failed. */
export interface End {
  readonly state: 'done' | 'waiting' | 'dead'
  readonly problem?: string
}

class ActivityLog {
  #activities: readonly Activity[] = stored()
  readonly #listeners = new Set<() => void>()
  readonly #running = new Map<string, AbortController>()

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly all = (): readonly Activity[] => this.#activities

  /** Begins an activity, and notes what comes of it. */
  begin(kind: ActivityKind, summary: string, work: (run: Run) => Promise<End>): void {
    const key = newId()
    const abort = new AbortController()
    const activity: Activity = {
      ...{ key, kind, summary: summary.slice(0, maxSummaryLength), startedAt: new Date().toISOString() },
      ...{
        state: 'running',
        steps: [],
        doing: null,
        progress: null,
        answer: null,
        problem: null,
        page: null,
        event: null,
      },
    }
    this.#running.set(key, abort)
    this.#set([activity, ...this.#activities].slice(0, maxActivities))
    const run = new Run(abort.signal, (change) => this.#update(key, change))
    work(run)
      .then(
        ({ state, problem = null }) => this.#update(key, { state, problem, doing: null, progress: null }),
        (thrown: Error) => {
          const state = abort.signal.aborted ? 'cancelled' : 'failed'
          const problem = abort.signal.aborted ? null : thrown.message
          this.#update(key, { state, problem, doing: null, progress: null })
        },
      )
      .finally(() => this.#running.delete(key))
  }

  cancel(key: string): void {
    this.#running.get(key)?.abort()
  }

  /** What runs stays. */
  clear(): void {
    this.#set(this.#activities.filter(({ state }) => state === 'running'))
  }

  #update(key: string, change: Partial<Activity>): void {
    this.#set(this.#activities.map((each) => (each.key === key ? { ...each, ...change } : each)))
  }

  #set(activities: readonly Activity[]): void {
    this.#activities = activities
    keep(storageName, JSON.stringify(activities.map((each) => ({ ...each, progress: null }))))
    for (const listener of this.#listeners) listener()
  }
}

function stored(): readonly Activity[] {
  try {
    const activities: readonly Activity[] = JSON.parse(kept(storageName) ?? '[]')
    return activities.map((each) => (each.state === 'running' ? { ...each, state: 'left', doing: null } : each))
  } catch {
    return []
  }
}

/** That of the tab. */
export const activityLog = new ActivityLog()

export function useActivities(): readonly Activity[] {
  return useSyncExternalStore(activityLog.subscribe, activityLog.all)
}
