import { ProblemNote } from '../components/problem-note.tsx'
import { formatCount, formatRate, formatSeconds } from '../format.ts'
import { useHistory } from '../history.ts'
import { Chart } from './chart.tsx'

/** The last 15 minutes. */
export function Charts() {
  const { history, problem } = useHistory()
  if (history === null)
    return problem === null ? <p className="faint loading">Loading …</p> : <ProblemNote problem={problem} />
  const { seconds: times } = history
  return (
    <div className="charts">
      <Chart
        title="Accepted and landed"
        times={times}
        format={formatRate}
        series={[
          { name: 'accepted', values: history.accepted, colour: 'accent' },
          { name: 'landed', values: history.landed, colour: 'good' },
        ]}
      />
      <Chart
        title="Waiting"
        times={times}
        format={formatCount}
        series={[{ name: 'waiting', values: history.waiting, colour: 'warn' }]}
      />
      <Chart
        title="Rejected and dead"
        times={times}
        format={formatRate}
        series={[
          { name: 'rejected', values: history.rejected, colour: 'warn' },
          { name: 'dead', values: history.dead, colour: 'bad' },
        ]}
      />
      <Chart
        title="Time to land"
        times={times}
        format={formatSeconds}
        series={[
          { name: 'p50', values: history.landing_p50_seconds, colour: 'accent' },
          { name: 'p99', values: history.landing_p99_seconds, colour: 'violet' },
        ]}
      />
    </div>
  )
}
