import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useLocation, useSearch } from 'wouter'
import { api, type DeadLetter } from '../api.ts'
import { CommandLine } from '../components/command-line.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Window } from '../components/window.tsx'
import { listPath } from './filter.ts'

/** Asks before one dead letter is deleted. */
export default function DeleteWindow({
  letter,
  onClose,
}: {
  readonly letter: DeadLetter
  readonly onClose: () => void
}) {
  const queries = useQueryClient()
  const query = useSearch()
  const [, goTo] = useLocation()
  const remove = useMutation({
    mutationFn: () => api.deleteDeadLetter(letter.dead_letter_id),
    onSuccess: async () => {
      goTo(listPath(query))
      await queries.invalidateQueries({ queryKey: ['dead-letters'] })
    },
  })
  return (
    <Window
      isOpen
      onClose={onClose}
      title="Delete 1 dead letter?"
      description={
        letter.redriven_at === null
          ? `It is deleted for good, and ${letter.group} never gets its event. The ledger still counts the event as dead.`
          : 'It is deleted for good, with its attempts. Its event was sent again and is not touched.'
      }
    >
      <p className="faint">Many at once, by a filter, from a terminal, which counts them and asks:</p>
      <CommandLine command={`npx millrace dead-letters delete --code ${letter.code}`} />
      <ProblemNote problem={remove.error} />
      <div className="actions">
        <button type="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
          Delete 1 dead letter
        </button>
      </div>
    </Window>
  )
}
