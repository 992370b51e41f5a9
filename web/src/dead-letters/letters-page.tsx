import { useInfiniteQuery } from '@tanstack/react-query'
import { lazy, Suspense, useState } from 'react'
import { api, type DeadLetterCause } from '../api.ts'
import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { formatCount } from '../format.ts'
import { mayDo, useSession } from '../session.ts'
import { Causes } from './causes.tsx'
import { conditionsOf, type Filter, isNarrowed, queryOf, redrivenChoices, useFilter } from './filter.ts'
import { FilterForm } from './filter-form.tsx'
import { LetterList } from './letter-list.tsx'

const RedriveWindow = lazy(() => import('./redrive-window.tsx'))

const pageLimit = 200
const maxShownLetters = 20_000
/** The server counts so many causes at most. */
const maxCauses = 100
const askEveryMs = 10_000

/** The counts and the list of one filter, asked for at once. */
export function LettersPage() {
  const [filter, setFilter] = useFilter()
  const [isRedriving, setRedriving] = useState(false)
  const session = useSession()
  const { data, error, isFetching, hasNextPage, fetchNextPage, refetch } = useInfiniteQuery({
    queryKey: ['dead-letters', filter],
    queryFn: async ({ pageParam, signal }) => {
      const conditions = conditionsOf(filter)
      const [page, causes] = await Promise.all([
        api.deadLetters({ ...conditions, limit: pageLimit, cursor: pageParam }, signal),
        pageParam === '' ? api.deadLetterCauses(conditions, signal) : [],
      ])
      return { ...page, causes }
    },
    initialPageParam: '',
    getNextPageParam: ({ next_cursor: cursor }, pages) => (pages.length * pageLimit >= maxShownLetters ? null : cursor),
    // A long list is not read again behind its reader's back.
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > 1 ? false : askEveryMs),
  })
  const letters = data?.pages.flatMap((page) => page.dead_letters) ?? []
  const causes = data?.pages[0]?.causes ?? []
  const count = countOf(causes)
  const mayRedrive = mayDo(session, 'operate')
  return (
    <>
      <div className="title-line">
        <h1>Dead letters</h1>
        <button
          type="button"
          disabled={!mayRedrive || letters.length === 0}
          title={mayRedrive ? undefined : 'Your key has not the scope operate'}
          onClick={() => setRedriving(true)}
        >
          Redrive these …
        </button>
      </div>
      <FilterForm key={queryOf(filter)} filter={filter} isBusy={isFetching} onFilter={setFilter} onAgain={refetch} />
      <ProblemNote problem={error} />
      {data === undefined && error === null ? <p className="faint loading">Loading …</p> : null}
      {data !== undefined && letters.length === 0 ? <NoLetters filter={filter} onFilter={setFilter} /> : null}
      {letters.length === 0 ? null : (
        <>
          <Section title="Causes" aside={causes.length < maxCauses ? null : `the ${maxCauses} most frequent`}>
            <Causes causes={causes} filter={filter} onFilter={setFilter} />
          </Section>
          <Section
            title="Letters"
            aside={`${causes.length < maxCauses ? '' : 'at least '}${formatCount(count)}, newest first`}
          >
            <LetterList
              letters={letters}
              query={queryOf(filter)}
              hasMore={hasNextPage && !isFetching}
              onEnd={fetchNextPage}
            />
            {letters.length < maxShownLetters ? null : (
              <p className="note">
                The newest {formatCount(maxShownLetters)} are listed. A filter finds older ones; counts and redrives
                take all.
              </p>
            )}
          </Section>
        </>
      )}
      {isRedriving ? (
        <Suspense>
          <RedriveWindow filter={filter} onClose={() => setRedriving(false)} />
        </Suspense>
      ) : null}
    </>
  )
}

function countOf(causes: readonly DeadLetterCause[]): number {
  return causes.reduce((sum, { dead_letters: count }) => sum + count, 0)
}

function NoLetters({ filter, onFilter }: { readonly filter: Filter; readonly onFilter: (next: Filter) => void }) {
  if (isNarrowed(filter)) {
    return <Empty>No dead letter matches that is {redrivenChoices[filter.redriven]}. Names must be exact.</Empty>
  }
  if (filter.redriven === 'yes') return <Empty>No dead letter was redriven yet.</Empty>
  return (
    <Empty command="npx millrace status">
      No event waits for you: what a handler gives up, or the database refuses, comes here by itself.{' '}
      {filter.redriven === 'any' ? null : (
        <button type="button" className="link" onClick={() => onFilter({ ...filter, redriven: 'yes' })}>
          Those that were redriven
        </button>
      )}{' '}
      What the groups do, from a terminal:
    </Empty>
  )
}
