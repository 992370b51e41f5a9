import { useMutation, useQueryClient } from '@tanstack/react-query'
import { lazy, type ReactNode, Suspense, useState } from 'react'
import { api, type Group } from '../api.ts'
import { Badge, type Tone } from '../components/badge.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Count, Duration, Time } from '../components/values.tsx'
import { formatCount } from '../format.ts'
import { deadLetterTopic } from '../rates.ts'
import { mayDo, useSession } from '../session.ts'
import { isDeletable } from './deletable.ts'
import { groupsQuery } from './groups-query.ts'
import { useWorkers } from './use-workers.ts'

const DeleteWindow = lazy(() => import('./delete-window.tsx'))
const HeldKeysWindow = lazy(() => import('./held-keys-window.tsx'))
const PauseWindow = lazy(() => import('./pause-window.tsx'))
const RateWindow = lazy(() => import('./rate-window.tsx'))

const windows = { pause: PauseWindow, rate: RateWindow, keys: HeldKeysWindow, delete: DeleteWindow }

const tones: Readonly<Record<Group['state']['is'], Tone>> = {
  running: 'good',
  paused: 'warn',
  outage: 'bad',
  no_worker: 'bad',
  limited: 'accent',
}

/** One group: its state and why, what waits, and what can be done. */
export function GroupCard({ group }: { readonly group: Group }) {
  const [open, setOpen] = useState<keyof typeof windows | null>(null)
  const OpenWindow = open === null ? null : windows[open]
  const { topic, name, state } = group
  return (
    <li className={`group ${tones[state.is]}`} aria-label={`${name} of ${topic}`}>
      <div className="group-title">
        <b className="break">{name}</b>
        <span className="faint break">{topic === deadLetterTopic ? 'dead letters' : topic}</span>
        <Badge tone={tones[state.is]}>{state.is.replace('_', ' ')}</Badge>
      </div>
      <GroupActions group={group} onOpen={setOpen} />
      <Why group={group} />
      <dl className="group-facts">
        <Fact name="waiting">
          <Count of={group.waiting} />
        </Fact>
        <Fact name="ready">
          <Count of={group.ready} />
        </Fact>
        <Fact name="scheduled">
          <Count of={group.scheduled} />
        </Fact>
        <Fact name="held">
          <Count of={group.held} />
        </Fact>
        <Fact name="in flight">
          <Count of={group.in_flight} />
        </Fact>
        <Fact name="oldest">
          {group.waiting === 0 ? <span className="faint">none</span> : <Duration of={group.oldest_waiting_seconds} />}
        </Fact>
      </dl>
      {OpenWindow === null ? null : (
        <Suspense>
          <OpenWindow group={group} onClose={() => setOpen(null)} />
        </Suspense>
      )}
    </li>
  )
}

/** What holds it back, since when, and what to do. Nothing for one that runs freely. */
function Why({ group: { state, rate, types } }: { readonly group: Group }) {
  const step =
    state.is === 'outage'
      ? 'Mend the cause; it goes on by itself, nothing is lost.'
      : state.is === 'no_worker'
        ? 'Start a worker; nothing is lost.'
        : null
  const reason = state.reason ?? (state.is === 'paused' && state.by === 'person' ? 'no reason was given' : null)
  return (
    <p className="why">
      {reason === null ? null : <span className="reason">{reason}</span>}
      {state.by === 'person' ? <span className="faint">by a person</span> : null}
      {state.since === null ? null : (
        <span className="faint">
          since <Time of={state.since} />
        </span>
      )}
      {rate === null ? null : <span>at most {formatCount(rate)} events per second</span>}
      {step === null ? null : <span className="faint">{step}</span>}
      {types.length === 0 ? null : <span className="faint break">types {types.join(', ')}</span>}
    </p>
  )
}

function GroupActions({
  group,
  onOpen,
}: {
  readonly group: Group
  readonly onOpen: (name: keyof typeof windows) => void
}) {
  const mayOperate = mayDo(useSession(), 'operate')
  const queries = useQueryClient()
  const { data: workers } = useWorkers()
  const { topic, name, state } = group
  const resume = useMutation({
    mutationFn: () => api.resumeGroup(topic, name),
    onSettled: () => queries.invalidateQueries({ queryKey: groupsQuery }),
  })
  const needs = { disabled: !mayOperate, title: mayOperate ? undefined : 'Your key has not the scope operate' }
  const isPaused = state.is === 'paused' && state.by !== 'system'
  const isLimited = group.rate !== null
  return (
    <div className="group-actions">
      {hasHeldKeys(group) ? (
        <button type="button" onClick={() => onOpen('keys')}>
          Held keys
        </button>
      ) : null}
      {isPaused || isLimited ? (
        <button
          type="button"
          className="primary"
          {...needs}
          disabled={!mayOperate || resume.isPending}
          onClick={() => resume.mutate()}
        >
          {isPaused ? 'Resume' : 'Full speed'}
        </button>
      ) : null}
      <button type="button" {...needs} onClick={() => onOpen('rate')}>
        {isPaused ? 'Resume at a rate …' : 'Limit …'}
      </button>
      {isPaused ? null : (
        <button type="button" {...needs} onClick={() => onOpen('pause')}>
          Pause …
        </button>
      )}
      {isDeletable(group, workers ?? []) ? (
        <button type="button" className="danger" {...needs} onClick={() => onOpen('delete')}>
          Delete …
        </button>
      ) : null}
      <ProblemNote problem={resume.error} />
    </div>
  )
}

/** Whether there may be some. */
function hasHeldKeys({ held, scheduled }: Group): boolean {
  return held !== 0 || scheduled !== 0
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
