import type { CSSProperties } from 'react'
import { Link } from 'wouter'
import { exactJson } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { formatBytes, formatJson, formatSeconds, formatTime } from '../format.ts'
import type { Activity, Progress, Step } from './activity-log.ts'
import { ServerJourney } from './server-journey.tsx'
import { toneOf, wordOf } from './states.ts'

/** What became of an activity: its way step by step, and the answer. */
export function Outcome({ activity }: { readonly activity: Activity }) {
  const { summary, startedAt, steps, doing, progress, answer, problem, page, event } = activity
  return (
    <section className="outcome" aria-label={`The way of ${summary}`}>
      <header>
        <Badge tone={toneOf(activity)}>{wordOf(activity)}</Badge>
        <span className="faint number">{formatTime(startedAt)}</span>
        {page === null ? null : <Link href={page}>Its journey</Link>}
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

/** Each step with the time that it took, as this page saw it. */
function Way({ steps, doing }: { readonly steps: readonly Step[]; readonly doing: string | null }) {
  const totalMs = Math.max(steps.at(-1)?.afterMs ?? 0, 0.001)
  return (
    <table className="journey way">
      <thead className="hidden">
        <tr>
          <th scope="col">Step</th>
          <th scope="col">Took</th>
          <th scope="col">Way</th>
        </tr>
      </thead>
      <tbody>
        {steps.map(({ name, afterMs, detail }, index) => {
          const before = steps[index - 1]?.afterMs ?? afterMs
          const place = { '--from': before / totalMs, '--to': afterMs / totalMs } as CSSProperties
          return (
            <tr key={name}>
              <td>
                {name}
                {detail === undefined ? null : <div className="detail">{detail}</div>}
              </td>
              <td
                className="right number"
                title={`${formatSeconds(afterMs / 1000)} after the beginning, as this page saw it`}
              >
                {index === 0 ? null : formatSeconds((afterMs - before) / 1000)}
              </td>
              <td className="bars">
                <div className="bar-line">{index === 0 ? null : <div className="bar working" style={place} />}</div>
              </td>
            </tr>
          )
        })}
        {doing === null ? null : (
          <tr>
            <td className="faint" colSpan={3}>
              {doing} …
            </td>
          </tr>
        )}
      </tbody>
    </table>
  )
}
