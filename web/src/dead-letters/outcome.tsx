import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import { api, type DeadLetterDetail, type Journey } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Time } from '../components/values.tsx'
import { deadLetterPath, eventPath } from '../paths.ts'

const askAgainMs = 1000

/** What became of an event that was sent again. */
export function Outcome({ letter, redrivenAt }: { readonly letter: DeadLetterDetail; readonly redrivenAt: string }) {
  const { event_id: eventId, source } = letter
  const { data } = useQuery({
    queryKey: ['journey', { id: eventId, source }, redrivenAt],
    queryFn: ({ signal }) => api.journey(eventId ?? '', source, signal),
    enabled: eventId !== null,
    refetchInterval: ({ state }) => (state.data?.journey.state === 'waiting' ? askAgainMs : false),
  })
  const newer = data === undefined ? null : newerLetter(data, letter)
  return (
    <p className={`note ${newer === null ? (data?.journey.state === 'landed' ? 'good' : '') : 'bad'}`} role="status">
      Sent to {letter.group} again at <Time of={redrivenAt} />.{' '}
      {newer !== null ? (
        <>
          It has failed again: <Link href={deadLetterPath(newer)}>the newer dead letter</Link>.{' '}
        </>
      ) : data === undefined ? null : (
        <>
          The event is <Badge tone={data.journey.state === 'landed' ? 'good' : 'warn'}>{data.journey.state}</Badge>.{' '}
        </>
      )}
      {eventId === null ? null : <Link href={eventPath(data?.event.event_id ?? eventId)}>Its journey</Link>}
    </p>
  )
}

/** The id of the last dead letter of the same group, when it is not this one. */
function newerLetter({ journey }: Journey, { dead_letter_id: id, group }: DeadLetterDetail): string | null {
  const last = journey.steps.findLast((step) => step.step === 'dead' && step.group === group)
  return last?.dead_letter_id === undefined || last.dead_letter_id === id ? null : last.dead_letter_id
}
