import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useEffectEvent, useRef } from 'react'
import { Link } from 'wouter'
import type { DeadLetter } from '../api.ts'
import { Time } from '../components/values.tsx'
import { deadLetterPath } from '../paths.ts'

const lineHeight = 34
const linesBeyond = 12

interface Listed {
  readonly letters: readonly DeadLetter[]
  /** The query of the filter, so that the way back leads to it. */
  readonly query: string
  readonly hasMore: boolean
  /** The last line is near. */
  readonly onEnd: () => void
}

/** Only the lines in view are in the page. */
export function LetterList({ letters, query, hasMore, onEnd }: Listed) {
  const place = useRef<HTMLElement>(null)
  const virtual = useVirtualizer({
    count: letters.length,
    getScrollElement: () => place.current,
    estimateSize: () => lineHeight,
    getItemKey: (index) => letters[index]?.dead_letter_id ?? index,
    overscan: linesBeyond,
  })
  const items = virtual.getVirtualItems()
  const isNearEnd = (items.at(-1)?.index ?? 0) >= letters.length - 1
  const reachEnd = useEffectEvent(onEnd)
  useEffect(() => {
    if (isNearEnd && hasMore) reachEnd()
  }, [isNearEnd, hasMore])
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the list is scrolled by keyboard too
    <section className="lines letters" ref={place} tabIndex={0} aria-label="Dead letters, newest first">
      <ol style={{ height: virtual.getTotalSize() }}>
        {items.map(({ index, key, start }) => {
          const letter = letters[index]
          if (letter === undefined) return null
          return (
            <li key={key} style={{ transform: `translateY(${start}px)` }}>
              <LetterLine letter={letter} query={query} />
            </li>
          )
        })}
      </ol>
    </section>
  )
}

/** One dead letter in one line; the line is a link to it. */
function LetterLine({ letter, query }: { readonly letter: DeadLetter; readonly query: string }) {
  const { dead_letter_id: id, dead_at: at, type, group, code, message, redriven_at: redriven } = letter
  return (
    <Link className="event-line letter-line" href={deadLetterPath(id, query)}>
      <Time of={at} />
      <span className="type">{type === '' ? '(damaged)' : type}</span>
      <span className="group">{group}</span>
      <span className="preview">
        {redriven === null ? '' : 'redriven · '}
        {code}: {message}
      </span>
    </Link>
  )
}
