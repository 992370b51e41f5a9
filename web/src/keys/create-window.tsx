import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useId, useState } from 'react'
import { api, type CreatedKey, type Scope } from '../api.ts'
import { CommandLine } from '../components/command-line.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { TextField } from '../components/text-field.tsx'
import { Window } from '../components/window.tsx'
import { emptyDraft, type KeyDraft, keyRequestOf } from './key-draft.ts'
import { keysQuery } from './keys-query.ts'
import { scopes, scopeTexts } from './scopes.ts'

/** A form for a new key; then the key itself, once. */
export default function CreateWindow({ onClose }: { readonly onClose: () => void }) {
  const queries = useQueryClient()
  const [draft, setDraft] = useState(emptyDraft)
  const create = useMutation({
    mutationFn: () => api.createKey(keyRequestOf(draft)),
    // The key is not kept longer than the window.
    gcTime: 0,
    onSuccess: () => queries.invalidateQueries({ queryKey: keysQuery }),
  })
  if (create.data !== undefined) return <Made of={create.data} onClose={onClose} />
  const set = (change: Partial<KeyDraft>) => setDraft((before) => ({ ...before, ...change }))
  const canCreate = draft.name.trim() !== '' && draft.scopes.length > 0
  return (
    <Window
      isOpen
      onClose={onClose}
      title="Create a key"
      description="It says who calls and what for. It is shown once, when it is made."
    >
      <form
        onSubmit={(submit) => {
          submit.preventDefault()
          if (canCreate) create.mutate()
        }}
      >
        <TextField
          label="Name: whose key it is"
          placeholder="shop"
          value={draft.name}
          onChange={(name) => set({ name })}
        />
        <ScopeChoice chosen={draft.scopes} onChange={(chosen) => set({ scopes: chosen })} />
        <TextField
          label="Topics, with commas between; none: all"
          placeholder="orders, eu.*"
          value={draft.topics}
          onChange={(topics) => set({ topics })}
        />
        <TextField
          label="Types, with commas between; none: all"
          placeholder="order.paid, parcel.**"
          value={draft.types}
          onChange={(types) => set({ types })}
        />
        <div className="filters">
          <TextField
            label="Rate, in events per second"
            placeholder="no limit"
            value={draft.rate}
            onChange={(rate) => set({ rate })}
          />
          <TextField
            label="Expires in days"
            placeholder="never"
            value={draft.days}
            onChange={(days) => set({ days })}
          />
        </div>
        <ProblemNote problem={create.error} />
        <div className="actions">
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="primary" disabled={!canCreate || create.isPending}>
            Create
          </button>
        </div>
      </form>
    </Window>
  )
}

function ScopeChoice({
  chosen,
  onChange,
}: {
  readonly chosen: readonly Scope[]
  readonly onChange: (chosen: readonly Scope[]) => void
}) {
  const id = useId()
  return (
    <fieldset className="scope-choice">
      <legend>Scopes: what it may do</legend>
      {scopes.map((scope) => (
        <label key={scope}>
          <input
            type="checkbox"
            aria-label={scope}
            aria-describedby={`${id}-${scope}`}
            checked={chosen.includes(scope)}
            onChange={({ target }) =>
              onChange(scopes.filter((each) => (each === scope ? target.checked : chosen.includes(each))))
            }
          />
          <b>{scope}</b>{' '}
          <span id={`${id}-${scope}`} className="faint">
            {scopeTexts[scope]}
          </span>
        </label>
      ))}
    </fieldset>
  )
}

function Made({ of, onClose }: { readonly of: CreatedKey; readonly onClose: () => void }) {
  return (
    <Window
      isOpen
      title={`The key of ${of.name}`}
      description="It is shown this once, and stored nowhere. Copy it now; a program sends it as a bearer token."
    >
      <div role="status" aria-label="The new key">
        <CommandLine command={of.key} />
      </div>
      <div className="actions">
        <button type="button" className="primary" onClick={onClose}>
          I have it
        </button>
      </div>
    </Window>
  )
}
