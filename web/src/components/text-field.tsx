import { useId } from 'react'

interface Field {
  readonly label: string
  readonly value: string
  readonly placeholder?: string
  /** Default `text`. */
  readonly kind?: 'text' | 'password' | 'datetime-local'
  /** Any other text can be typed too. */
  readonly suggestions?: readonly string[]
  readonly onChange: (value: string) => void
}

export function TextField({ label, value, placeholder, kind = 'text', suggestions = [], onChange }: Field) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type={kind}
        value={value}
        placeholder={placeholder}
        list={suggestions.length === 0 ? undefined : `${id}-list`}
        step={kind === 'datetime-local' ? 1 : undefined}
        spellCheck={false}
        autoComplete="off"
        onChange={({ target }) => onChange(target.value)}
      />
      {suggestions.length === 0 ? null : (
        <datalist id={`${id}-list`}>
          {suggestions.map((text) => (
            <option key={text} value={text} />
          ))}
        </datalist>
      )}
    </div>
  )
}
