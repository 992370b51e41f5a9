import { useId } from 'react'

interface Area {
  readonly label: string
  readonly value: string
  /** Its height at first. */
  readonly lines: number
  readonly onChange: (value: string) => void
}

/** A text of several lines. */
export function TextArea({ label, value, lines, onChange }: Area) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        className="lines-of-text"
        rows={lines}
        value={value}
        spellCheck={false}
        onChange={({ target }) => onChange(target.value)}
      />
    </div>
  )
}
