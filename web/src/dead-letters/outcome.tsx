import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import { api, type DeadLetterDetail, type Journey } from '../api.ts'
import { Time } from '../components/values.tsx'
import { microsOf } from '../format.ts'
import { deadLetterPath, eventPath } from '../paths.ts'

const askAgainMs = 1000
/** A group in another process may never tell. */
const maxAsked = 60
const landingGroup = 'landing'

type Became = { readonly is: 'done' | 'unknown' } | { readonly is: 'failed'; readonly newerId: string }

/** What the group made of an event that was sent to it again. */
export function Outcome({ letter, redrivenAt }: { readonly letter: DeadLetterDetail; readonly redrivenAt: string }) {
  const { event_id: eventId, source, group } = letter
  const { data } = useQuery({
    queryKey: ['journey', { id: eventId, source }, redrivenAt],
    queryFn: ({ signal }) => api.journey(eventId ?? '', source, signal),
    enabled: eventId !== null,
    refetchInterval: ({ state }) =>
      state.dataUpdateCount < maxAsked && becameOf(state.data, letter).is === 'unknown' ? askAgainMs : false,
  })
  const became = becameOf(data, letter)
  const tone = { done: 'good', failed: 'bad', unknown: '' }[became.is]
  return (
    <p className={`note ${tone}`} role="status">
      Sent to {group} again at <Time of={redrivenAt} />.{' '}
      {became.is === 'failed' ? (
        <>
          It has failed again: <Link href={deadLetterPath(became.newerId)}>the newer dead letter</Link>.{' '}
        </>
      ) : became.is === 'done' ? (
        `${group === landingGroup ? 'It has landed' : 'The group is done with it'}. `
      ) : (
        'No outcome is known yet. '
      )}
      {eventId === null ? null : <Link href={eventPath(eventId, source)}>Its journey</Link>}
    </p>
  )
}

function becameOf(answer: Journey | undefined, letter: DeadLetterDetail): Became {
  const { dead_letter_id: id, group, dead_at: deadAt } = letter
  const steps = answer?.journey.steps ?? []
  const newest = steps.findLast((step) => step.step === 'dead' && step.group === group)?.dead_letter_id ?? id
  if (newest !== id) return { is: 'failed', newerId: newest }
  if (group === landingGroup) return { is: answer?.journey.state === 'landed' ? 'done' : 'unknown' }
  // Whether the event has landed says nothing of another group.
  const isDone = steps.some(
    ({ step, group: of, at }) => step === 'ended' && of === group && at !== null && microsOf(at) > microsOf(deadAt),
  )
  return { is: isDone ? 'done' : 'unknown' }
}
