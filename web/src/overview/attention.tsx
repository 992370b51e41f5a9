// What is stuck or failing, why, and what to do next.

import { useMutation, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { api, type GroupStatus, type Observed } from '../api.ts'
import { Badge, type Tone } from '../components/badge.tsx'
import { CommandLine } from '../components/command-line.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Time } from '../components/values.tsx'
import { formatCount } from '../format.ts'
import { deadLetterTopic } from '../rates.ts'
import { mayDo, useSession } from '../session.ts'

export function Attention({ observed: { status, observations } }: { readonly observed: Observed }) {
  const groups = status.topics.flatMap(({ name: topic, groups: of }) => of.map((group) => ({ topic, group })))
  const stuck = groups.filter(({ group: { state } }) => state.is !== 'running' || state.reason !== null)
  const causes = status.causes.filter(({ component }) => component !== 'landing' || stuck.length === 0)
  const unbalanced = status.ledger.filter(({ balanced }) => balanced === false)
  const { open = 0, more = false } = observations?.store?.dead_letters ?? {}
  if (stuck.length + causes.length + unbalanced.length + open === 0) return null
  return (
    <ul className="attention" aria-label="What needs attention">
      {causes.map(({ component, reason, message }) => (
        <Item key={`${component} ${reason}`} tone="bad" word={component}>
          {message}
        </Item>
      ))}
      {stuck.map(({ topic, group }) => (
        <StuckGroup key={`${topic}/${group.name}`} topic={topic} group={group} />
      ))}
      {unbalanced.map(({ topic, group }) => (
        <Item key={`${topic}/${group}`} tone="bad" word="ledger" step={<CommandLine command="npx millrace doctor" />}>
          The ledger of <b>{group}</b> of {topic} does not balance.
        </Item>
      ))}
      {open === 0 ? null : (
        <Item tone="warn" word="dead letters" step={<Link href="/dead-letters">Look at them</Link>}>
          {more ? 'More than ' : ''}
          {formatCount(open)} {open === 1 ? 'event was given up and waits' : 'events were given up and wait'} for a
          decision.
        </Item>
      )}
    </ul>
  )
}

interface Line {
  readonly tone: Tone
  readonly word: string
  readonly children: ReactNode
  /** What to do next. */
  readonly step?: ReactNode
}

function Item({ tone, word, children, step }: Line) {
  return (
    <li>
      <Badge tone={tone}>{word}</Badge>
      <div className="what">{children}</div>
      {step === undefined ? null : <div className="step">{step}</div>}
    </li>
  )
}

const tones: Readonly<Record<GroupStatus['state']['is'], Tone>> = {
  running: 'warn',
  paused: 'warn',
  outage: 'bad',
  no_worker: 'bad',
  limited: 'accent',
}

function StuckGroup({ topic, group }: { readonly topic: string; readonly group: GroupStatus }) {
  const session = useSession()
  const queries = useQueryClient()
  const resume = useMutation({
    mutationFn: () => api.resumeGroup(topic, group.name),
    onSettled: () => queries.invalidateQueries({ queryKey: ['status'] }),
  })
  const { state, waiting } = group
  const isByPerson = state.is === 'paused' || state.is === 'limited'
  const step = isByPerson ? (
    <button
      type="button"
      className="primary"
      disabled={resume.isPending || !mayDo(session, 'operate')}
      title={mayDo(session, 'operate') ? undefined : 'Your key has not the scope operate'}
      onClick={() => resume.mutate()}
    >
      {state.is === 'limited' ? 'Full speed' : 'Resume'}
    </button>
  ) : (
    <NextStep is={state.is} />
  )
  return (
    <Item tone={tones[state.is]} word={state.is.replace('_', ' ')} step={step}>
      <Link href="/work">{group.name}</Link> of {topic === deadLetterTopic ? 'dead letters' : topic}
      {waiting === null ? '' : `: ${formatCount(waiting)} waiting`}
      {state.reason === null ? '' : `; ${state.reason}`}
      {state.since === null ? null : (
        <span className="faint">
          {' '}
          since <Time of={state.since} />
        </span>
      )}
      <ProblemNote problem={resume.error} />
    </Item>
  )
}

function NextStep({ is }: Pick<GroupStatus['state'], 'is'>) {
  if (is === 'no_worker') return <span className="faint">Start a worker; nothing is lost.</span>
  return <span className="faint">Mend the cause; it goes on by itself, nothing is lost.</span>
}
