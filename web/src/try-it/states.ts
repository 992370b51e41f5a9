// The states of an activity, as words and colours.

import type { Tone } from '../components/badge.tsx'
import type { Activity, ActivityState } from './activity-log.ts'

const tones: Readonly<Record<ActivityState, Tone>> = {
  running: 'accent',
  done: 'good',
  waiting: 'warn',
  dead: 'bad',
  failed: 'bad',
  cancelled: 'plain',
  left: 'plain',
}

export function toneOf({ state }: Pick<Activity, 'state'>): Tone {
  return tones[state]
}

/** The last step says most of what is done. */
export function wordOf({ state, steps }: Pick<Activity, 'state' | 'steps'>): string {
  if (state === 'done') return steps.at(-1)?.name ?? 'done'
  if (state === 'left') return 'not followed'
  return state === 'running' ? 'on its way' : state
}
