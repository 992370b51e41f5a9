import { useMutation, useQueryClient } from '@tanstack/react-query'
import { api, type KeyDescription } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { Time } from '../components/values.tsx'
import { Window } from '../components/window.tsx'
import { keysQuery } from './keys-query.ts'

interface Revoking {
  readonly of: KeyDescription
  readonly ownName: string | null
  readonly onClose: () => void
}

/** Asks before a key is ended for good. */
export default function RevokeWindow({ of: key, ownName, onClose }: Revoking) {
  const queries = useQueryClient()
  const revoke = useMutation({
    mutationFn: () => api.revokeKey(key.key_id),
    onSuccess: async () => {
      onClose()
      await queries.invalidateQueries({ queryKey: keysQuery })
    },
  })
  return (
    <Window
      isOpen
      onClose={onClose}
      title={`Revoke ${key.name}?`}
      description={
        <>
          The key <code>{key.key_id}</code> ends for good, in every process within 5 s, and so do the streams and
          sessions that it has opened.
        </>
      }
    >
      <p>
        Last used: {key.last_used_at === null ? 'never' : <Time of={key.last_used_at} />}. A program that still has it
        is refused; make it another one first.
      </p>
      {key.name === ownName ? (
        <p className="note bad">This session has a key of this name. If it is this one, the session ends.</p>
      ) : null}
      <ProblemNote problem={revoke.error} />
      <div className="actions">
        <button type="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="danger" disabled={revoke.isPending} onClick={() => revoke.mutate()}>
          Revoke 1 key
        </button>
      </div>
    </Window>
  )
}
