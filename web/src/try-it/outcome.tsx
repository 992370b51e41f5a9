import { Link } from 'wouter'
import { exactJson } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { formatBytes, formatJson, formatTime } from '../format.ts'
import type { Activity, Progress } from './activity-log.ts'
import { ServerJourney } from './server-journey.tsx'
import { toneOf, wordOf } from './states.ts'
import { Way } from './way.tsx'

/** What became of an activity: its way step by step, and the answer. */
export function Outcome({ activity }: { readonly activity: Activity }) {
  const { summary, startedAt, steps, doing, progress, answer, problem, page, event } = activity
  return (
    <section className="outcome" aria-label={`The way of ${summary}`}>
      <header>
        <Badge tone={toneOf(activity)}>{wordOf(activity)}</Badge>
        <span className="faint number">{formatTime(startedAt)}</span>
        {page === null ? null : <Link href={page}>{event === null ? 'Its page' : 'Its journey'}</Link>}
      </header>
      {progress === null ? null : <ProgressLine progress={progress} />}
      {steps.length === 0 ? null : <Way steps={steps} doing={doing} />}
      {event === null || activity.state === 'running' ? null : <ServerJourney event={event} />}
      {problem === null ? null : (
        <p className={activity.state === 'failed' ? 'note bad' : 'note'} role="alert">
          {problem}
        </p>
      )}
      {answer === null ? null : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long answer is scrolled by keyboard too
        <pre className="data answer" tabIndex={0}>
          {prettyOf(answer)}
        </pre>
      )}
    </section>
  )
}

/** As it came, when it is not JSON or was cut. */
function prettyOf(answer: string): string {
  const value = exactJson(answer)
  return value === null ? answer : formatJson(value)
}

function ProgressLine({ progress: { sentBytes, totalBytes } }: { readonly progress: Progress }) {
  return (
    <div className="progress">
      <progress value={sentBytes} max={Math.max(1, totalBytes)} aria-label="Sent" />
      <span className="number">
        {formatBytes(sentBytes)} of {formatBytes(totalBytes)}
      </span>
    </div>
  )
}
