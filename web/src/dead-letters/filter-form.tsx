import { useState } from 'react'
import { SelectField } from '../components/select-field.tsx'
import { TextField } from '../components/text-field.tsx'
import { type Filter, nothing, queryOf, redrivenChoices, type TextName, type TimeName } from './filter.ts'

interface Form {
  readonly filter: Filter
  readonly isBusy: boolean
  readonly onFilter: (next: Filter) => void
  /** The same filter was given again. */
  readonly onAgain: () => void
}

export function FilterForm({ filter, isBusy, onFilter, onAgain }: Form) {
  const [draft, setDraft] = useState(filter)
  const change = (part: Partial<Filter>) => setDraft((before) => ({ ...before, ...part }))
  const text = (name: TextName, label: string, placeholder: string) => (
    <TextField
      label={label}
      placeholder={placeholder}
      value={draft[name]}
      onChange={(value) => change({ [name]: value })}
    />
  )
  const time = (name: TimeName, label: string) => (
    <TextField
      label={label}
      kind="datetime-local"
      value={localOf(draft[name])}
      onChange={(value) => change({ [name]: value === '' ? '' : new Date(value).toISOString() })}
    />
  )
  return (
    <form
      className="filters"
      onSubmit={(submit) => {
        submit.preventDefault()
        if (queryOf(draft) === queryOf(filter)) onAgain()
        else onFilter(draft)
      }}
    >
      {text('topic', 'Topic', 'any')}
      {text('group', 'Group', 'any')}
      {text('type', 'Type', 'exact')}
      {text('code', 'Code', 'refused_by_store')}
      {time('since', 'Dead since')}
      {time('until', 'Dead before')}
      <SelectField
        label="Which"
        value={draft.redriven}
        choices={redrivenChoices}
        onChange={(redriven) => change({ redriven })}
      />
      <div className="buttons">
        <button type="submit" className="primary" disabled={isBusy}>
          Search
        </button>
        {queryOf(filter) === '' ? null : (
          <button type="button" className="quiet" onClick={() => onFilter(nothing)}>
            Clear
          </button>
        )}
      </div>
    </form>
  )
}

/** As a field of local time shows it. */
function localOf(instant: string): string {
  const date = new Date(instant)
  if (Number.isNaN(date.getTime())) return ''
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}
