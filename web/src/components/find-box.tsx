import { useMutation } from '@tanstack/react-query'
import { lazy, Suspense, useState } from 'react'
import { useLocation } from 'wouter'
import { api } from '../api.ts'
import { pageOf } from '../paths.ts'

const FoundWindow = lazy(() => import('./found-window.tsx'))

/** Takes any id: of an event, a dead letter, a request, a file, an agent. */
export function FindBox() {
  const [id, setId] = useState('')
  const [, goTo] = useLocation()
  const find = useMutation({
    mutationFn: (wanted: string) => api.find(wanted),
    onSuccess: (found) => {
      const [only] = found
      const page = only === undefined || found.length > 1 ? null : pageOf(only)
      if (page === null) return
      setId('')
      find.reset()
      goTo(page)
    },
  })
  return (
    <search>
      <form
        className="find"
        onSubmit={(submit) => {
          submit.preventDefault()
          if (id.trim() !== '') find.mutate(id.trim())
        }}
      >
        <input
          type="search"
          aria-label="Find by id"
          placeholder="Find any id"
          value={id}
          spellCheck={false}
          autoComplete="off"
          onChange={({ target }) => setId(target.value)}
        />
      </form>
      {find.isSuccess || find.isError ? (
        <Suspense>
          <FoundWindow id={find.variables} found={find.data ?? []} problem={find.error} onClose={find.reset} />
        </Suspense>
      ) : null}
    </search>
  )
}
