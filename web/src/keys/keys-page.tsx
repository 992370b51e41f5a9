// The keys of callers: what each is for, and whether it is used; make and revoke them.

import { useInfiniteQuery } from '@tanstack/react-query'
import { lazy, Suspense, useState } from 'react'
import { api, type Session } from '../api.ts'
import { Empty } from '../components/empty.tsx'
import { MoreButton } from '../components/more-button.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { mayDo, useSession } from '../session.ts'
import { KeyTable } from './key-table.tsx'
import { keysQuery } from './keys-query.ts'
import './keys.css'

const CreateWindow = lazy(() => import('./create-window.tsx'))

const askEveryMs = 10_000
const pageLimit = 100

export default function KeysPage() {
  const session = useSession()
  const [isCreating, setCreating] = useState(false)
  return (
    <>
      <div className="title-line">
        <h1>Keys</h1>
        {mayDo(session, 'admin') ? (
          <button type="button" className="primary" onClick={() => setCreating(true)}>
            Create a key …
          </button>
        ) : null}
      </div>
      {session === undefined ? null : <Allowed session={session} />}
      {isCreating ? (
        <Suspense>
          <CreateWindow onClose={() => setCreating(false)} />
        </Suspense>
      ) : null}
    </>
  )
}

function Allowed({ session }: { readonly session: Session }) {
  if (!mayDo(session, 'admin')) {
    return (
      <Empty command="npx millrace keys create NAME --scopes admin">
        The key of this session, {session.key?.name}, is for {session.key?.scopes.join(', ')}. Keys need one with the
        scope admin: log out and in with such a key. From a terminal, where an admin key is set:
      </Empty>
    )
  }
  return (
    <>
      {session.needs_key ? null : (
        <p className="note" role="note">
          This server asks for no key: all who reach it may do everything. With <code>MILLRACE_AUTH=keys</code> it asks,
          and the keys below are for that.
        </p>
      )}
      <Keys ownName={session.key?.name ?? null} />
    </>
  )
}

function Keys({ ownName }: { readonly ownName: string | null }) {
  const { data, error, ...pages } = useInfiniteQuery({
    queryKey: keysQuery,
    queryFn: ({ pageParam, signal }) => api.keys({ limit: pageLimit, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: ({ next_cursor: cursor }) => cursor,
    refetchInterval: askEveryMs,
  })
  const keys = data?.pages.flatMap((page) => page.keys) ?? []
  return (
    <Section title="Keys of callers" aside="those that have ended, for 30 days">
      <ProblemNote problem={error} />
      {data !== undefined && keys.length === 0 ? (
        <Empty command="npx millrace keys create shop --scopes publish">
          There is no key yet. Create one above, or from a terminal:
        </Empty>
      ) : null}
      {keys.length === 0 ? null : <KeyTable keys={keys} ownName={ownName} />}
      <MoreButton {...pages} />
    </Section>
  )
}
