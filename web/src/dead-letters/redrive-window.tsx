import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { TextField } from '../components/text-field.tsx'
import { Window } from '../components/window.tsx'
import { formatCount } from '../format.ts'
import { conditionsOf, type Filter, redriveConditionsOf } from './filter.ts'
import { type Run, useRedriveRun } from './redrive-run.ts'

const defaultRate = 1000
const maxRate = 100_000

/** Counts what a redrive would send, sends it at a rate, and shows how far it is. */
export default function RedriveWindow({ filter, onClose }: { readonly filter: Filter; readonly onClose: () => void }) {
  const queries = useQueryClient()
  const conditions = redriveConditionsOf(filter)
  const [rateText, setRateText] = useState(String(defaultRate))
  const { run, start, interrupt } = useRedriveRun(conditions)
  const { data: dryRun, error } = useQuery({
    queryKey: ['redrive-dry-run', conditions],
    queryFn: ({ signal }) => api.redrive({ ...conditions, dry_run: true }, signal),
    gcTime: 0,
    refetchOnWindowFocus: false,
  })
  const matched = dryRun?.matched ?? null
  const rate = Number(rateText)
  const isRate = Number.isInteger(rate) && rate >= 1 && rate <= maxRate
  const isRunning = run.is === 'running'
  const begin = async () => {
    await start(rate)
    await queries.invalidateQueries({ queryKey: ['dead-letters'] })
  }
  const letters = matched === null ? 'dead letters' : nameOf(matched)
  return (
    <Window
      isOpen
      {...(isRunning ? {} : { onClose })}
      title={`Redrive ${letters}`}
      description="Their events go to their groups again, oldest first, with their ids and times: none lands twice."
    >
      <p>
        Filter: <b className="break">{wordsOf(filter)}</b>
      </p>
      {run.is !== 'idle' ? (
        <RunState run={run} matched={matched} />
      ) : (
        <form
          id="redrive"
          onSubmit={(submit) => {
            submit.preventDefault()
            if (isRate && matched !== null && matched > 0) begin()
          }}
        >
          <p className="note" role="status">
            {matched === null ? 'Dry run: counting …' : `Dry run: ${letters} would be sent again.`}
            {filter.redriven === 'any' ? ' Those that were redriven already are left out.' : ''}
          </p>
          <TextField label="Rate, in events per second" value={rateText} onChange={setRateText} />
          {isRate ? (
            <p className="faint">
              It begins with 10, waits for what becomes of them, and stops by itself when one fails again.
            </p>
          ) : (
            <p className="note bad" role="alert">
              The rate is a whole number from 1 to {formatCount(maxRate)}.
            </p>
          )}
        </form>
      )}
      <ProblemNote problem={error ?? (run.is === 'failed' ? run.problem : null)} />
      <div className="actions">
        {isRunning ? (
          <button type="button" onClick={interrupt}>
            Stop
          </button>
        ) : (
          <button type="button" onClick={onClose}>
            Close
          </button>
        )}
        {run.is === 'idle' ? (
          <button
            type="submit"
            form="redrive"
            className="primary"
            disabled={!isRate || matched === null || matched === 0}
          >
            Redrive {letters}
          </button>
        ) : null}
      </div>
    </Window>
  )
}

function nameOf(count: number): string {
  return `${formatCount(count)} dead ${count === 1 ? 'letter' : 'letters'}`
}

function wordsOf(filter: Filter): string {
  const words = Object.entries(conditionsOf({ ...filter, redriven: 'any' })).map(([name, text]) => `${name} ${text}`)
  return words.length === 0 ? 'none' : words.join(', ')
}

function RunState({ run, matched }: { readonly run: Exclude<Run, { is: 'idle' }>; readonly matched: number | null }) {
  const { redriven, skipped, failedAgain } = run
  const counts = [
    `${formatCount(redriven)}${matched === null ? '' : ` of ${formatCount(matched)}`} sent again`,
    skipped === 0 ? '' : `${formatCount(skipped)} left out, because they cannot be sent again`,
    failedAgain === 0 ? '' : `${formatCount(failedAgain)} failed again`,
  ].filter((text) => text !== '')
  return (
    <div className="run">
      <progress
        aria-label="Redriven"
        max={Math.max(1, matched ?? 1)}
        value={run.is === 'done' ? Math.max(1, matched ?? 1) : redriven + skipped}
      />
      <p role="status" className="number">
        {counts.join(', ')}
        {run.is === 'running' ? ' …' : '.'} {run.is === 'done' ? 'Done.' : ''}
      </p>
      {run.is === 'stopped' ? (
        <p className="note bad" role="alert">
          Stopped: {run.reason}. Mend the cause, then redrive what is left.
        </p>
      ) : null}
      {run.is === 'interrupted' ? (
        <p className="note">
          Stopped. The step under way may still be sent and is not in these counts; the list has what is left.
        </p>
      ) : null}
    </div>
  )
}
