import { useQuery } from '@tanstack/react-query'
import { api } from '../api.ts'
import { Hint } from './hint.tsx'

/** A fault is known to the server within a few seconds, and must be here within five. */
const askEveryMs = 1500

/** A server or a network that hangs answers nothing, not even an error. */
const maxAnswerMs = 3000

/** Whether the server does its work: ok, degraded with the part's name, or down. */
export function StatusLight() {
  const { data, isError } = useQuery({
    queryKey: ['readiness'],
    queryFn: ({ signal }) => api.readiness(AbortSignal.any([signal, AbortSignal.timeout(maxAnswerMs)])),
    refetchInterval: askEveryMs,
    retry: false,
  })
  if (isError) return <Light tone="bad" text="down" why="The server does not answer. This page asks again by itself." />
  if (data === undefined) return <Light tone="plain" text="asking …" why="The first answer has not come yet." />
  const why = data.causes.map(({ component, message }) => `${component}: ${message}`).join('\n')
  const parts = [...new Set(data.causes.map(({ component }) => component))].join(', ')
  if (data.state === 'ready') return <Light tone="good" text="ok" why="The server does its work." />
  if (data.state === 'degraded') return <Light tone="warn" text={`degraded: ${parts}`} why={why} />
  return <Light tone="bad" text={parts === '' ? 'down' : `down: ${parts}`} why={why || 'The server is not ready.'} />
}

function Light({ tone, text, why }: { readonly tone: string; readonly text: string; readonly why: string }) {
  return (
    <div role="status" aria-label="State of the server">
      <Hint text={why}>
        <span className={`light ${tone}`}>{text}</span>
      </Hint>
    </div>
  )
}
