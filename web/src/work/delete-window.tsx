import { useMutation, useQueryClient } from '@tanstack/react-query'
import { api, type Group } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { Window } from '../components/window.tsx'
import { formatCount } from '../format.ts'
import { groupsQuery } from './groups-query.ts'

interface Deleting {
  readonly group: Group
  readonly onClose: () => void
}

/** Asks before a group is deleted, with what it abandons. */
export default function DeleteWindow({ group: { topic, name, waiting, state }, onClose }: Deleting) {
  const queries = useQueryClient()
  const remove = useMutation({
    mutationFn: () => api.deleteGroup(topic, name),
    onSuccess: async () => {
      onClose()
      await queries.invalidateQueries({ queryKey: groupsQuery })
    },
  })
  const abandoned =
    waiting === null
      ? 'How many events wait for it is not known; all of them are'
      : `${formatCount(waiting)} ${waiting === 1 ? 'event that waits for it is' : 'events that wait for it are'}`
  return (
    <Window
      isOpen
      onClose={onClose}
      title={`Delete ${name} of ${topic}?`}
      description={`${abandoned} abandoned: it never gets them. This cannot be undone. Rows that it has landed stay, and so do the events of other groups.`}
    >
      {state.is === 'no_worker' ? null : (
        <p className="note">
          Stop its workers first: one that declares it again makes a new group, which begins at the oldest event in the
          log.
        </p>
      )}
      <ProblemNote problem={remove.error} />
      <div className="actions">
        <button type="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          {waiting === null ? 'Delete' : `Delete and abandon ${formatCount(waiting)}`}
        </button>
      </div>
    </Window>
  )
}
