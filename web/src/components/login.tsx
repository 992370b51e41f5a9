import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api } from '../api.ts'
import { ProblemNote } from './problem-note.tsx'
import { TextField } from './text-field.tsx'
import { Window } from './window.tsx'

/** Asks for a key. The browser keeps a session made of it, which no script can read; the key itself is not kept. */
export default function Login() {
  const queries = useQueryClient()
  const [key, setKey] = useState('')
  const login = useMutation({
    mutationFn: () => api.logIn(key.trim()),
    onSuccess: () => queries.resetQueries(),
  })
  return (
    <Window
      isOpen
      title="Log in"
      description="This server asks for a key. What the console shows and does is what the key is for."
    >
      <form
        onSubmit={(submit) => {
          submit.preventDefault()
          login.mutate()
        }}
      >
        <TextField label="Key" placeholder="mr_…" kind="password" value={key} onChange={setKey} />
        <ProblemNote problem={login.error} />
        <p className="faint">
          The first one is in <code>admin.key</code> of the data directory; <code>npx millrace keys create</code> makes
          more.
        </p>
        <div className="actions">
          <button type="submit" className="primary" disabled={key.trim() === '' || login.isPending}>
            Log in
          </button>
        </div>
      </form>
    </Window>
  )
}
