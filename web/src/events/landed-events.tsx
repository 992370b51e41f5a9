import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../api.ts'
import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { TextField } from '../components/text-field.tsx'
import { formatCount } from '../format.ts'
import { mayDo, useSession } from '../session.ts'
import { EventLine } from './event-line.tsx'

const nothing = { topic: '', type: '', source: '', since: '', until: '' }
const pageLimit = 100

/** Search of the rows in the database, newest first. */
export function LandedEvents() {
  if (mayDo(useSession(), 'read')) return <Search />
  return <Empty>Your key has not the scope read, which a search needs.</Empty>
}

function Search() {
  const [filter, setFilter] = useState(nothing)
  const [applied, setApplied] = useState(nothing)
  const { data, error, hasNextPage, fetchNextPage, isFetching, refetch } = useInfiniteQuery({
    queryKey: ['events', applied],
    queryFn: ({ pageParam, signal }) =>
      api.events(
        {
          ...applied,
          since: instantOf(applied.since),
          until: instantOf(applied.until),
          limit: pageLimit,
          cursor: pageParam,
        },
        signal,
      ),
    initialPageParam: '',
    getNextPageParam: ({ next_cursor: cursor }) => cursor,
  })
  const events = data?.pages.flatMap((page) => page.events) ?? []
  const field = (name: keyof typeof nothing, label: string, placeholder = '') => (
    <TextField
      label={label}
      placeholder={placeholder}
      value={filter[name]}
      onChange={(text) => setFilter((before) => ({ ...before, [name]: text }))}
      kind={name === 'since' || name === 'until' ? 'datetime-local' : 'text'}
    />
  )
  const isFiltered = Object.values(applied).some((text) => text !== '')
  return (
    <>
      <form
        className="filters"
        onSubmit={(submit) => {
          submit.preventDefault()
          if (JSON.stringify(filter) === JSON.stringify(applied)) refetch()
          else setApplied(filter)
        }}
      >
        {field('topic', 'Topic', 'any')}
        {field('type', 'Type', 'exact')}
        {field('source', 'Source', 'exact')}
        {field('since', 'Received since')}
        {field('until', 'Received before')}
        <div className="buttons">
          <button type="submit" className="primary" disabled={isFetching}>
            Search
          </button>
        </div>
      </form>
      <ProblemNote problem={error} />
      {data !== undefined && events.length === 0 && !hasNextPage ? (
        <Empty {...(isFiltered ? {} : { command: 'npx millrace produce 1000' })}>
          {isFiltered
            ? 'No landed event matches. Type and source must be exact.'
            : 'Nothing has landed yet. To send some:'}
        </Empty>
      ) : (
        <ol className="lines plain">
          {events.map((event) => (
            <li key={event.event_id}>
              <EventLine event={event} />
            </li>
          ))}
        </ol>
      )}
      <div className="more">
        {events.length === 0 ? null : <span className="faint number">{formatCount(events.length)} shown</span>}
        {hasNextPage ? (
          <button type="button" disabled={isFetching} onClick={() => fetchNextPage()}>
            {isFetching ? 'Loading …' : 'Older ones'}
          </button>
        ) : null}
      </div>
    </>
  )
}

/** What a field of local time means. */
function instantOf(local: string): string | undefined {
  return local === '' ? undefined : new Date(local).toISOString()
}
