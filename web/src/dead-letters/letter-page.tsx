// One dead letter: why it died, every attempt, its event, and what can be done with it.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, type ReactNode, Suspense, useState } from 'react'
import { Link, useSearch } from 'wouter'
import { ApiProblem, api, type DeadLetterDetail, type FailedAttempt, type RedriveAnswer } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { EventData } from '../components/event-data.tsx'
import { EventFacts } from '../components/event-facts.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { Time } from '../components/values.tsx'
import { formatCount } from '../format.ts'
import { mayDo, useSession } from '../session.ts'
import { listPath } from './filter.ts'
import { Outcome } from './outcome.tsx'
import { redriveProblem } from './redrive-problem.ts'

const EditWindow = lazy(() => import('./edit-window.tsx'))
const DeleteWindow = lazy(() => import('./delete-window.tsx'))

export function LetterPage({ id }: { readonly id: string }) {
  const query = useSearch()
  const { data: letter, error } = useQuery({
    queryKey: ['dead-letter', id],
    queryFn: ({ signal }) => api.deadLetter(id, signal),
  })
  return (
    <>
      <p>
        <Link href={listPath(query)}>← Dead letters</Link>
      </p>
      {letter === undefined ? (
        <>
          <h1 className="break">{id}</h1>
          {error === null ? <p className="faint loading">Loading …</p> : <Missing problem={error} />}
        </>
      ) : (
        <Letter letter={letter} />
      )}
    </>
  )
}

function Missing({ problem }: { readonly problem: Error }) {
  if (!(problem instanceof ApiProblem) || problem.status !== 404) return <ProblemNote problem={problem} />
  return <Empty>There is no such dead letter: it was deleted, or the id is of something else.</Empty>
}

function Letter({ letter }: { readonly letter: DeadLetterDetail }) {
  const { dead_letter_id: id, event, history, redriven_at: redrivenAt } = letter
  const [opened, setOpened] = useState<'edit' | 'delete' | null>(null)
  const queries = useQueryClient()
  const mayOperate = mayDo(useSession(), 'operate')
  const redrive = useMutation({
    mutationFn: async () => {
      const answer = await api.redrive({ dead_letter_ids: [id] })
      await noteRedriven(answer)
    },
  })
  const noteRedriven = async (answer: RedriveAnswer) => {
    await queries.invalidateQueries({ queryKey: ['dead-letter', id] })
    await queries.invalidateQueries({ queryKey: ['dead-letters'] })
    const problem = redriveProblem(answer)
    if (problem !== null) throw problem
  }
  const action = (text: string, isPossible: boolean, onClick: () => void) => (
    <button
      type="button"
      disabled={!mayOperate || !isPossible || redrive.isPending}
      title={mayOperate ? undefined : 'Your key has not the scope operate'}
      onClick={onClick}
    >
      {text}
    </button>
  )
  return (
    <>
      <div className="title-line">
        <h1 className="break">{letter.type === '' ? 'A damaged entry' : letter.type}</h1>
        <Badge tone={redrivenAt === null ? 'bad' : 'plain'}>{redrivenAt === null ? 'open' : 'redriven'}</Badge>
        <div className="letter-actions">
          {action('Edit and redrive', event !== null, () => setOpened('edit'))}
          {action(redrive.isPending ? 'Redriving …' : 'Redrive', event !== null, () => redrive.mutate())}
          {action('Delete', true, () => setOpened('delete'))}
        </div>
      </div>
      <ProblemNote problem={redrive.error} />
      {redrivenAt === null || event === null ? null : <Outcome letter={letter} redrivenAt={redrivenAt} />}
      <Section title="Attempts" aside={`${letter.topic} → ${letter.group}${redrives(letter.redrives)}`}>
        <Attempts history={history} />
      </Section>
      {event === null ? (
        <Section title="Damaged bytes" aside="base64">
          <p className="note">They are no valid event any more: it cannot be redriven, only deleted.</p>
          <Text>{letter.damaged_base64}</Text>
        </Section>
      ) : (
        <>
          <Section title="Data" aside={event.data_content_type}>
            <EventData event={event} />
          </Section>
          <Section title="Event">
            <EventFacts event={event} />
          </Section>
        </>
      )}
      <Suspense>
        {opened === 'edit' && event !== null ? (
          <EditWindow letterId={id} event={event} onRedriven={noteRedriven} onClose={() => setOpened(null)} />
        ) : null}
        {opened === 'delete' ? <DeleteWindow letter={letter} onClose={() => setOpened(null)} /> : null}
      </Suspense>
    </>
  )
}

function redrives(count: number): string {
  if (count === 0) return ''
  return count === 1 ? ', redriven once' : `, redriven ${formatCount(count)} times`
}

function Text({ children }: { readonly children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: long data is scrolled by keyboard too
    <pre className="data break" tabIndex={0}>
      {children}
    </pre>
  )
}

function Attempts({ history }: { readonly history: readonly FailedAttempt[] }) {
  return (
    <div className="scroll">
      <table className="attempts">
        <thead>
          <tr>
            <th scope="col">Attempt</th>
            <th scope="col">At</th>
            <th scope="col">Why it failed</th>
            <th scope="col">Position in the log</th>
          </tr>
        </thead>
        <tbody>
          {history.map(({ attempt, at, code, message, position }, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the list never changes, and numbers can repeat
            <tr key={index}>
              <td className="number">{attempt}</td>
              <td>
                <Time of={at} />
              </td>
              <td className="cause">
                <Badge tone="bad">{code}</Badge> <span className="break">{message}</span>
              </td>
              <td>
                <code>{position}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
