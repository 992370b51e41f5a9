import { useQuery } from '@tanstack/react-query'
import { api, type JourneyStep } from '../api.ts'
import { JourneySteps } from '../event/journey.tsx'
import { mayDo, useSession } from '../session.ts'
import type { EventName } from './activity-log.ts'

const askAgainMs = 1000

/** A group may begin, or give up, a moment after the event has landed. */
const leastAsks = 5
const mostAsks = 60

/** What the groups of handlers did with an event, by the clock of the server; nothing when there are none. */
export function ServerJourney({ event: { id, source } }: { readonly event: EventName }) {
  const session = useSession()
  const { data } = useQuery({
    queryKey: ['journey', { id, source }],
    queryFn: ({ signal }) => api.journey(id, source, signal),
    enabled: mayDo(session, 'read'),
    refetchInterval: ({ state: { data: last, dataUpdateCount: asks } }) =>
      asks < leastAsks || (asks < mostAsks && isUnderWay(last?.journey.steps ?? [])) ? askAgainMs : false,
  })
  const steps = data?.journey.steps ?? []
  if (!steps.some(({ group }) => group !== undefined)) return null
  return (
    <details open>
      <summary>In the server, by its own clock</summary>
      <JourneySteps steps={steps} />
    </details>
  )
}

/** Whether something was handed out and is not settled. */
function isUnderWay(steps: readonly JourneyStep[]): boolean {
  const count = (kind: JourneyStep['step']) => steps.filter(({ step }) => step === kind).length
  return count('handed_out') > count('settled')
}
