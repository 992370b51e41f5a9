import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, type Group, type HeldKey, type ReleaseAction } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { Count, Time } from '../components/values.tsx'
import { Window } from '../components/window.tsx'
import { formatCount } from '../format.ts'
import { mayDo, useSession } from '../session.ts'
import { groupsQuery } from './groups-query.ts'

interface Holding {
  readonly group: Group
  readonly onClose: () => void
}

const askEveryMs = 2000
const maxKeys = 100

/** The keys of a group whose events wait for a failing one, and what can be done with that one. */
export default function HeldKeysWindow({ group: { topic, name }, onClose }: Holding) {
  const queries = useQueryClient()
  const queryKey = ['held-keys', topic, name]
  const { data, error } = useQuery({
    queryKey,
    queryFn: ({ signal }) => api.heldKeys(topic, name, maxKeys, signal),
    refetchInterval: askEveryMs,
  })
  const release = useMutation({
    mutationFn: ({ key, action }: { readonly key: string; readonly action: ReleaseAction }) =>
      api.releaseKey(topic, name, key, action),
    onSettled: () =>
      Promise.all([queries.invalidateQueries({ queryKey }), queries.invalidateQueries({ queryKey: groupsQuery })]),
  })
  return (
    <Window
      isOpen
      onClose={onClose}
      title={`Held keys of ${name}`}
      description="The first event of each has failed, and the others of its key wait for it. Retry gives it one more attempt now, release all its attempts again; skip makes it a dead letter, and the key goes on."
    >
      <ProblemNote problem={error ?? release.error} />
      {data?.keys.length === 0 ? <p className="note">No key is held now.</p> : null}
      <ul className="held-keys" aria-label="Held keys">
        {data?.keys.map((held) => (
          <HeldKeyLine
            key={`${held.partition}/${held.priority}/${held.key}`}
            held={held}
            isBusy={release.isPending}
            onAction={(action) => release.mutate({ key: held.key, action })}
          />
        ))}
      </ul>
      {data?.has_more ? <p className="faint">These are the first {formatCount(maxKeys)}; there are more.</p> : null}
      <div className="actions">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Window>
  )
}

interface Line {
  readonly held: HeldKey
  readonly isBusy: boolean
  readonly onAction: (action: ReleaseAction) => void
}

function HeldKeyLine({ held, isBusy, onAction }: Line) {
  const [isAsking, setAsking] = useState(false)
  const mayOperate = mayDo(useSession(), 'operate')
  const needs = {
    disabled: isBusy || !mayOperate,
    title: mayOperate ? undefined : 'Your key has not the scope operate',
  }
  const behind = held.events - 1
  const skip = () => {
    setAsking(false)
    onAction('skip')
  }
  return (
    <li aria-label={held.key}>
      <code className="break">{held.key}</code>
      <p className="faint">
        <Count of={held.events} /> {held.events === 1 ? 'event' : 'events'}, {held.priority}; attempts had:{' '}
        <Count of={held.attempts} />; next {held.due_at === null ? 'when it is released' : <Time of={held.due_at} />}
      </p>
      {isAsking ? (
        <div className="group-actions">
          <span>
            Make the first event a dead letter? {behind === 0 ? 'None waits' : `${formatCount(behind)} more wait`}{' '}
            behind it.
          </span>
          <button type="button" onClick={() => setAsking(false)}>
            Keep it
          </button>
          <button type="button" className="danger" {...needs} onClick={skip}>
            Skip 1 event
          </button>
        </div>
      ) : (
        <div className="group-actions">
          <button type="button" {...needs} onClick={() => onAction('retry')}>
            Retry
          </button>
          <button type="button" {...needs} onClick={() => onAction('release')}>
            Release
          </button>
          <button type="button" className="danger" {...needs} onClick={() => setAsking(true)}>
            Skip …
          </button>
        </div>
      )}
    </li>
  )
}
