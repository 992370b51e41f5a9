// Whether what waits for a group moves, and if not, why.

import { defaultTopic } from '../event/event.ts'

/**
 * - `running`: it moves, except for what `reason` names.
 * - `paused`: a person has paused the group, and must resume it.
 * - `outage`: something that the group's workers need fails; they go on by themselves.
 * - `no_worker`: something is ready, and no process works on the group.
 * - `limited`: it moves, at the rate with which a person has resumed it.
 */
export const groupStates = ['running', 'paused', 'outage', 'no_worker', 'limited'] as const

export interface GroupState {
  readonly is: (typeof groupStates)[number]
  /** Who has stopped it; null when nobody has. */
  readonly by: 'person' | 'system' | null
  /** A failure, a colon, its cause; what the person gave; what is missing. Null when there is none. */
  readonly reason: string | null
  /** Milliseconds since 1970; null when it is not known. */
  readonly sinceMs: number | null
}

export const runningState: GroupState = { is: 'running', by: null, reason: null, sinceMs: null }

/** @param reason '' when none was given. */
export function pausedByPerson(reason: string): GroupState {
  return { is: 'paused', by: 'person', reason: reason === '' ? null : reason, sinceMs: null }
}

export function noWorker(reason: string): GroupState {
  return { is: 'no_worker', by: null, reason, sinceMs: null }
}

export function limitedByPerson(topic: string, group: string, ratePerSecond: number): GroupState {
  const resume = `millrace groups resume ${group}${topic === defaultTopic ? '' : ` --topic ${topic}`}`
  const reason = `at most ${ratePerSecond} events a second, until "${resume}" without --rate`
  return { is: 'limited', by: 'person', reason, sinceMs: null }
}

/** For people: `running`, `paused by a person: REASON`, `outage since TIME: REASON`, `no worker: REASON`. */
export function groupStateText({ is, by, reason, sinceMs }: GroupState): string {
  const person = by === 'person' ? ' by a person' : ''
  const since = sinceMs === null ? '' : ` since ${new Date(sinceMs).toISOString()}`
  return `${is.replace('_', ' ')}${person}${is === 'running' && reason !== null ? ', but' : ''}${since}${reason === null ? '' : `: ${reason}`}`
}
