import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, useState } from 'react'
import { Empty } from '../components/empty.tsx'
import { TextField } from '../components/text-field.tsx'
import { formatCount } from '../format.ts'
import type { LiveState } from '../live.ts'
import { mayDo, useSession } from '../session.ts'
import { useTopics } from '../topics.ts'
import { EventLine } from './event-line.tsx'
import { maxShownEvents, type TailFilter, type TailLine, useTail } from './tail.ts'

const lineHeight = 34
const linesBeyond = 12

/** Events as they are accepted. */
export function LiveEvents() {
  if (mayDo(useSession(), 'subscribe')) return <Feed />
  return <Empty>Your key has not the scope subscribe, which the live feed needs.</Empty>
}

function Feed() {
  const topics = useTopics()
  const [filter, setFilter] = useState<TailFilter>({ topic: 'events', type: '', source: '', subject: '' })
  const [applied, setApplied] = useState({ filter, round: 0 })
  const [isPaused, setPaused] = useState(false)
  const { lines, received, state, problem, clear } = useTail(applied.filter, applied.round, isPaused)
  const apply = (next: TailFilter) => {
    clear()
    setApplied(({ round }) => ({ filter: next, round: round + 1 }))
  }
  return (
    <>
      <form
        className="filters"
        onSubmit={(submit) => {
          submit.preventDefault()
          apply(filter)
        }}
      >
        <TextField
          label="Topic"
          value={filter.topic}
          suggestions={topics}
          onChange={(topic) => setFilter((before) => ({ ...before, topic }))}
        />
        <TextField
          label="Type"
          placeholder="order.*"
          value={filter.type}
          onChange={(type) => setFilter((before) => ({ ...before, type }))}
        />
        <TextField
          label="Source"
          placeholder="/shop"
          value={filter.source}
          onChange={(source) => setFilter((before) => ({ ...before, source }))}
        />
        <TextField
          label="Subject begins with"
          value={filter.subject}
          onChange={(subject) => setFilter((before) => ({ ...before, subject }))}
        />
        <div className="buttons">
          <button type="submit">Filter</button>
          <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
            {isPaused ? 'Go on' : 'Pause'}
          </button>
          <button type="button" className="quiet" onClick={clear}>
            Clear
          </button>
        </div>
      </form>
      <p className="tail-state" role="status">
        <StateText state={state} isPaused={isPaused} problem={problem} />
        <span className="number">
          {formatCount(received)} received
          {received > maxShownEvents ? `, the newest ${formatCount(maxShownEvents)} are shown` : ''}
        </span>
      </p>
      {lines.length === 0 ? (
        <Empty command="npx millrace produce 1000 --rate 100">Nothing yet. To send some:</Empty>
      ) : (
        <Lines lines={lines} />
      )}
    </>
  )
}

interface Connection {
  readonly state: LiveState
  readonly isPaused: boolean
  readonly problem: string | null
}

function StateText({ state, isPaused, problem }: Connection) {
  if (problem !== null) return <span className="light bad">{problem}</span>
  if (isPaused) return <span className="light plain">paused</span>
  if (state === 'open') return <span className="light good">live</span>
  if (state === 'lost') return <span className="light bad">connection lost; it is opened again by itself</span>
  return <span className="light plain">connecting …</span>
}

/** Only the lines in view are in the page. */
function Lines({ lines }: { readonly lines: readonly TailLine[] }) {
  const place = useRef<HTMLElement>(null)
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => place.current,
    estimateSize: () => lineHeight,
    getItemKey: (index) => lines[index]?.key ?? index,
    overscan: linesBeyond,
  })
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the list is scrolled by keyboard too
    <section className="lines" ref={place} tabIndex={0} aria-label="Events, newest first">
      <ol style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map(({ index, key, start }) => {
          const line = lines[index]
          if (line === undefined) return null
          return (
            <li key={key} style={{ transform: `translateY(${start}px)` }}>
              {line.is === 'gap' ? <Gap {...line} /> : <EventLine event={line.event} />}
            </li>
          )
        })}
      </ol>
    </section>
  )
}

const gapReasons: Readonly<Record<string, string>> = {
  slow: 'this page took less than came',
  trimmed: 'retention had removed them',
  lost: 'the log does not have them any more',
}

function Gap({ dropped, reason }: { readonly dropped: number | null; readonly reason: string }) {
  return (
    <p className="gap">
      {dropped === null ? 'An unknown number of events is' : `${formatCount(dropped)} events are`} missing here:{' '}
      {gapReasons[reason] ?? reason}
    </p>
  )
}
