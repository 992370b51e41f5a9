import { useLocation } from 'wouter'
import type { Found } from '../api.ts'
import { pageOf } from '../paths.ts'
import { ProblemNote } from './problem-note.tsx'
import { Window } from './window.tsx'

interface Finding {
  readonly id: string
  readonly found: readonly Found[]
  readonly problem: Error | null
  readonly onClose: () => void
}

/** What has an id, when it is not exactly one thing with a page. */
export default function FoundWindow({ id, found, problem, onClose }: Finding) {
  return (
    <Window title={found.length === 0 ? 'Nothing found' : `“${id}” is the id of`} isOpen onClose={onClose}>
      <ProblemNote problem={problem} />
      {found.length === 0 && problem === null ? (
        <p className="break">
          No landed event, dead letter, request, file or agent has the id <code>{id}</code>. An event that still waits
          in the log is found when it has landed.
        </p>
      ) : null}
      <ul className="found">
        {found.map((each) => (
          <li key={each.href}>
            <FoundLine found={each} onChosen={onClose} />
          </li>
        ))}
      </ul>
      <div className="actions">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Window>
  )
}

function FoundLine({ found, onChosen }: { readonly found: Found; readonly onChosen: () => void }) {
  const [, goTo] = useLocation()
  const page = pageOf(found)
  const name = found.kind.replaceAll('_', ' ')
  if (page === null) {
    return (
      <>
        {name}: <code className="break">GET {found.href}</code>
      </>
    )
  }
  const open = () => {
    onChosen()
    goTo(page)
  }
  return (
    <button type="button" className="link" onClick={open}>
      {name}
    </button>
  )
}
