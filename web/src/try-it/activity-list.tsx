import { Link } from 'wouter'
import { Badge } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { Section } from '../components/section.tsx'
import { Duration, Time } from '../components/values.tsx'
import { formatCount } from '../format.ts'
import { type Activity, type ActivityKind, activityLog, maxActivities, useActivities } from './activity-log.ts'
import { toneOf, wordOf } from './states.ts'

const names: Readonly<Record<ActivityKind, string>> = {
  heartbeat: 'heartbeat',
  text: 'text',
  file: 'file',
  event: 'event',
}

/** What was done from this tab, newest first. */
export function ActivityList() {
  const activities = useActivities()
  return (
    <Section
      title="Activity"
      aside={
        activities.length === 0 ? null : (
          <span className="log-tools">
            the last {formatCount(maxActivities)} of this tab, until it is closed
            <button type="button" className="quiet" onClick={() => activityLog.clear()}>
              Clear
            </button>
          </span>
        )
      }
    >
      {activities.length === 0 ? (
        <Empty command="npx millrace request text.analyze 'to be or not to be'">
          Nothing was sent from this tab yet. Press one of the buttons above, or from a terminal:
        </Empty>
      ) : (
        <ol className="activities" aria-label="Activity, newest first">
          {activities.map((activity) => (
            <li key={activity.key}>
              <ActivityLine activity={activity} />
            </li>
          ))}
        </ol>
      )}
    </Section>
  )
}

/** The line is a link to the journey, when there is one. */
function ActivityLine({ activity }: { readonly activity: Activity }) {
  const { kind, summary, startedAt, steps, problem, page } = activity
  const line = (
    <>
      <Time of={startedAt} />
      <span className="kind">{names[kind]}</span>
      <span className="summary">{summary}</span>
      <span className="took">{steps.length < 2 ? null : <Duration of={(steps.at(-1)?.afterMs ?? 0) / 1000} />}</span>
      <Badge tone={toneOf(activity)}>{wordOf(activity)}</Badge>
    </>
  )
  return page === null ? (
    <div className="activity" title={problem ?? undefined}>
      {line}
    </div>
  ) : (
    <Link className="activity" href={page} title={problem ?? undefined}>
      {line}
    </Link>
  )
}
