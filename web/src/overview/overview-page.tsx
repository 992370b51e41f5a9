// Overview: the pipeline, what needs attention, the last 15 minutes, the ledger, and what runs.

import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { useObserved } from '../observed.tsx'
import { ratesOf } from '../rates.ts'
import { Attention } from './attention.tsx'
import { Charts } from './charts.tsx'
import { Deployment } from './deployment.tsx'
import { Ledger } from './ledger.tsx'
import { PipelineDrawing } from './pipeline-drawing.tsx'

export default function OverviewPage() {
  const { answers, problem } = useObserved()
  const now = answers.at(-1)
  if (now === undefined) {
    return (
      <>
        <h1 className="hidden">Overview</h1>
        {problem === null ? <p className="faint loading">Asking the server …</p> : <ProblemNote problem={problem} />}
      </>
    )
  }
  const openDeadLetters = now.observations?.store?.dead_letters ?? null
  const isUnused = now.status.ledger.every(({ accepted }) => accepted === 0)
  return (
    <>
      <h1 className="hidden">Overview</h1>
      {problem === null ? null : (
        <p className="note bad" role="alert">
          {problem.message} These figures are the last that came; the page asks again by itself.
        </p>
      )}
      <Section title="Pipeline">
        <PipelineDrawing status={now.status} rates={ratesOf(answers)} openDeadLetters={openDeadLetters} />
        <Attention observed={now} />
        {isUnused ? <Empty command="npx millrace produce 1000">Nothing yet. To see it move:</Empty> : null}
      </Section>
      <Section title="Last 15 minutes">
        <Charts />
      </Section>
      <Section title="Ledger" aside="accepted + reopened = waiting + landed + dead + lost">
        <Ledger rows={now.status.ledger} />
      </Section>
      <Section title="Deployment">
        <Deployment observed={now} />
      </Section>
    </>
  )
}
