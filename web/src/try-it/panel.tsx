import type { KeyboardEvent, ReactNode } from 'react'
import { CommandLine } from '../components/command-line.tsx'
import { Section } from '../components/section.tsx'
import { mayDo, useSession } from '../session.ts'
import { type ActivityKind, useActivities } from './activity-log.ts'
import { type CurlCall, curlLine } from './curl.ts'
import { Outcome } from './outcome.tsx'

interface Action {
  readonly title: string
  /** What kind of call it is. */
  readonly kindOfCall: string
  readonly about: string
  readonly kind: ActivityKind
  /** What the button says. */
  readonly verb: string
  /** Why it cannot be sent as it is; '' when the form says it already, null when it can. */
  readonly problem: string | null
  /** The same as a call; null while it cannot be said. */
  readonly call: Omit<CurlCall, 'needsKey'> | null
  readonly onSend: () => void
  /** Beside the button. */
  readonly more?: ReactNode
  readonly children: ReactNode
}

/** One action: its form, the same for a shell, and the way that the last one took. */
export function Panel({ title, kindOfCall, about, kind, verb, problem, call, onSend, more, children }: Action) {
  const session = useSession()
  const last = useActivities().find((activity) => activity.kind === kind)
  const isAllowed = mayDo(session, 'publish')
  // What is accepted is followed further, and the next one can be sent.
  const isSending = last?.state === 'running' && !last.steps.some(({ name }) => name === 'accepted')
  const isReady = isAllowed && problem === null && !isSending
  return (
    <Section title={title} aside={kindOfCall}>
      <p className="about">{about}</p>
      <form
        onKeyDown={submitByControlEnter}
        onSubmit={(submit) => {
          submit.preventDefault()
          if (isReady) onSend()
        }}
      >
        {children}
        {problem === null || problem === '' ? null : (
          <p className="note check" role="status">
            {problem}
          </p>
        )}
        <div className="send">
          <button
            type="submit"
            className="primary"
            disabled={!isReady}
            title={isAllowed ? undefined : 'Your key has not the scope publish'}
          >
            {verb}
          </button>
          {more}
        </div>
      </form>
      {call === null ? null : <CommandLine command={curlLine({ ...call, needsKey: session?.needs_key === true })} />}
      {last === undefined ? null : <Outcome activity={last} />}
    </Section>
  )
}

/** Enter alone makes a new line in a text. */
function submitByControlEnter({ key, ctrlKey, metaKey, currentTarget }: KeyboardEvent<HTMLFormElement>): void {
  if (key === 'Enter' && (ctrlKey || metaKey)) currentTarget.requestSubmit()
}
