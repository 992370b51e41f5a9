import { useId } from 'react'

interface Field<Value extends string> {
  readonly label: string
  readonly value: Value
  /** Each value with its text. */
  readonly choices: Readonly<Record<Value, string>>
  readonly onChange: (value: Value) => void
}

export function SelectField<Value extends string>({ label, value, choices, onChange }: Field<Value>) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={({ target }) => onChange(target.value as Value)}>
        {Object.entries<string>(choices).map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </div>
  )
}
