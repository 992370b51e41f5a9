// One request: how far it has come, and its reply.

import { useQuery } from '@tanstack/react-query'
import { useParams } from 'wouter'
import { ApiProblem, api, exactJson, type RequestAnswer } from '../api.ts'
import { Badge, type Tone } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { Count } from '../components/values.tsx'
import { JourneyLegend, JourneySteps } from '../event/journey.tsx'
import { formatJson } from '../format.ts'
import { unescaped } from '../paths.ts'
import { mayDo, useSession } from '../session.ts'
import { WayFromHere } from '../try-it/way-from-here.tsx'

const askAgainMs = 1000

/** The source of every request. */
const requestSource = '/requests'

const tones: Readonly<Record<RequestAnswer['stage'], Tone>> = { accepted: 'warn', started: 'accent', replied: 'good' }

export default function RequestPage() {
  const given = useParams<{ id: string; type?: string }>()
  const [id, type] = [unescaped(given.id), unescaped(given.type ?? '')]
  const { data, error } = useQuery({
    queryKey: ['request', id, type],
    queryFn: ({ signal }) => api.reply(id, type, 0, signal),
    refetchInterval: ({ state }) => (state.error === null && state.data?.stage !== 'replied' ? askAgainMs : false),
  })
  return (
    <>
      <div className="title-line">
        <h1 className="break">{type === '' ? 'Request' : type}</h1>
        {data === undefined ? null : <Badge tone={tones[data.stage]}>{data.stage}</Badge>}
        {data === undefined && error !== null && !isMissing(error) ? <Badge tone="bad">failed</Badge> : null}
      </div>
      {data === undefined && error === null ? <p className="faint loading">Loading …</p> : null}
      {data === undefined && error !== null ? <NoReply problem={error} /> : null}
      <WayFromHere />
      {data === undefined ? null : (
        <Section title="Reply" aside={data.content_type}>
          {data.stage === 'replied' ? <Reply reply={data} /> : <p className="note">{waitingTexts[data.stage]}</p>}
        </Section>
      )}
      {error !== null && !isMissing(error) ? <Death id={id} /> : null}
      <Section title="Request">
        <dl className="pairs">
          <div>
            <dt>id</dt>
            <dd className="break">{id}</dd>
          </div>
          {type === '' ? null : (
            <div>
              <dt>type</dt>
              <dd className="break">{type}</dd>
            </div>
          )}
          <div>
            <dt>attempts</dt>
            <dd>
              <Count of={data?.attempts} why="known when there is a reply" />
            </dd>
          </div>
        </dl>
      </Section>
    </>
  )
}

const waitingTexts = {
  accepted: 'It is stored in the log, and waits for a worker of its type. This page looks again by itself.',
  started: 'A worker has it. This page looks again by itself.',
} as const

function isMissing(problem: Error): boolean {
  return problem instanceof ApiProblem && problem.status === 404
}

function NoReply({ problem }: { readonly problem: Error }) {
  if (!isMissing(problem)) return <ProblemNote problem={problem} />
  return (
    <Empty>{problem.message}. Replies are kept for MILLRACE_REPLY_TTL_MS, and those of others are not shown.</Empty>
  )
}

function Reply({ reply: { content_type: type, text } }: { readonly reply: RequestAnswer }) {
  if (text === '') return <p className="note">The reply is empty.</p>
  if (!/^text\/|[/+]json/.test(type)) return <p className="note">The reply is {type}, which is not shown here.</p>
  const value = /json/.test(type) ? exactJson(text) : null
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a long reply is scrolled by keyboard too
    <pre className="data" tabIndex={0}>
      {value === null ? text : formatJson(value)}
    </pre>
  )
}

/** A request that has died is a dead letter, which has its attempts. */
function Death({ id }: { readonly id: string }) {
  const session = useSession()
  const { data } = useQuery({
    queryKey: ['journey', { id, source: requestSource }],
    queryFn: ({ signal }) => api.journey(id, requestSource, signal),
    enabled: mayDo(session, 'read'),
    retry: false,
  })
  if (data === undefined) return null
  return (
    <Section title="Journey" aside={<JourneyLegend />}>
      <JourneySteps steps={data.journey.steps} />
    </Section>
  )
}
