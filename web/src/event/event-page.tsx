// One event: its journey, and its data as it was sent.

import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useState } from 'react'
import { useParams } from 'wouter'
import { ApiProblem, api } from '../api.ts'
import { Badge, type Tone } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { EventData } from '../components/event-data.tsx'
import { EventFacts } from '../components/event-facts.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { unescaped } from '../paths.ts'
import { mayDo, useSession } from '../session.ts'
import { JourneyLegend, JourneySteps } from './journey.tsx'

const SendAgain = lazy(() => import('./send-again.tsx'))

/** An event that was just accepted lands a moment later; one that is unknown for long is asked for less and less often. */
const askAgainMs = 1000
const longestPauseMs = 30_000

const tones: Readonly<Record<string, Tone>> = { landed: 'good', dead: 'bad', waiting: 'warn' }

export default function EventPage() {
  const { id = '', source } = useParams<{ id: string; source?: string }>()
  const name = { id: unescaped(id), source: source === undefined ? undefined : unescaped(source) }
  const [isEditing, setEditing] = useState(false)
  const session = useSession()
  const { data, error } = useQuery({
    queryKey: ['journey', name],
    queryFn: ({ signal }) => api.journey(name.id, name.source, signal),
    refetchInterval: ({ state }) => {
      if (state.data === undefined) return Math.min(longestPauseMs, askAgainMs * (1 + state.errorUpdateCount))
      return state.data.journey.state === 'waiting' ? askAgainMs : false
    },
  })
  if (data === undefined) {
    return (
      <>
        <h1 className="break">{name.id}</h1>
        {error === null ? <p className="faint loading">Loading …</p> : <Missing problem={error} />}
      </>
    )
  }
  const { event, journey } = data
  return (
    <>
      <div className="title-line">
        <h1 className="break">{event.type}</h1>
        <Badge tone={tones[journey.state] ?? 'plain'}>{journey.state}</Badge>
        <button
          type="button"
          disabled={!mayDo(session, 'publish')}
          title={mayDo(session, 'publish') ? undefined : 'Your key has not the scope publish'}
          onClick={() => setEditing(true)}
        >
          Edit and send again
        </button>
      </div>
      <Section title="Journey" aside={<JourneyLegend />}>
        <JourneySteps steps={journey.steps} />
      </Section>
      <Section title="Data" aside={event.data_content_type}>
        <EventData event={event} />
      </Section>
      <Section title="Event">
        <EventFacts event={event} />
      </Section>
      {isEditing ? (
        <Suspense>
          <SendAgain event={event} onClose={() => setEditing(false)} />
        </Suspense>
      ) : null}
    </>
  )
}

function Missing({ problem }: { readonly problem: Error }) {
  if (!(problem instanceof ApiProblem) || problem.status !== 404) return <ProblemNote problem={problem} />
  return <Empty>{problem.message}. This page looks again by itself.</Empty>
}
