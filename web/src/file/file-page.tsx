// One file: what is known of it, its analysis, and its bytes to save.

import { useQuery } from '@tanstack/react-query'
import { useParams } from 'wouter'
import { ApiProblem, addressOf, api, type FileDescription } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { Bytes, Time } from '../components/values.tsx'
import { formatCount, formatJson } from '../format.ts'
import { unescaped } from '../paths.ts'
import { WayFromHere } from '../try-it/way-from-here.tsx'

/** Its analysis comes a moment after it, or never. */
const askAgainMs = 2000

export default function FilePage() {
  const id = unescaped(useParams<{ id: string }>().id)
  const { data, error } = useQuery({
    queryKey: ['file', id],
    queryFn: ({ signal }) => api.file(id, signal),
    refetchInterval: ({ state }) => (state.data?.analysis === null ? askAgainMs : false),
  })
  if (data === undefined) {
    return (
      <>
        <h1 className="break">{id}</h1>
        {error === null ? <p className="faint loading">Loading …</p> : <Missing problem={error} />}
      </>
    )
  }
  return (
    <>
      <div className="title-line">
        <h1 className="break">{data.filename === '' ? 'A file without a name' : data.filename}</h1>
        {data.analysis === null ? <Badge tone="warn">stored</Badge> : <Badge tone="good">analyzed</Badge>}
        <a className="save" href={addressOf(`v1/files/${encodeURIComponent(id)}/content`)} download={data.filename}>
          Save it
        </a>
      </div>
      <WayFromHere />
      <Section title="Analysis">
        {data.analysis === null ? (
          <p className="note">
            No worker has analyzed it yet. Where none serves file.analyze when a file comes, none is made later.
          </p>
        ) : (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a long analysis is scrolled by keyboard too
          <pre className="data" tabIndex={0}>
            {formatJson(data.analysis)}
          </pre>
        )}
      </Section>
      <Section title="File">
        <Facts file={data} />
      </Section>
    </>
  )
}

function Missing({ problem }: { readonly problem: Error }) {
  if (!(problem instanceof ApiProblem) || problem.status !== 404) return <ProblemNote problem={problem} />
  return <Empty>{problem.message}.</Empty>
}

function Facts({ file }: { readonly file: FileDescription }) {
  const rows: (readonly [string, React.ReactNode])[] = [
    ['id', file.file_id],
    ['media type', file.content_type],
    [
      'size',
      <span key="size" title={`${formatCount(file.size)} bytes`}>
        <Bytes of={file.size} />
      </span>,
    ],
    ['received', <Time key="received" of={file.received_at} />],
    ['SHA-256', <code key="sha256">{file.sha256}</code>],
  ]
  return (
    <dl className="pairs">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className="break">{value}</dd>
        </div>
      ))}
    </dl>
  )
}
