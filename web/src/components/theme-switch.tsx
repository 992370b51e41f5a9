import { useState } from 'react'
import { storedTheme, storeTheme, themes } from '../theme.ts'

const names = { system: 'as the system', light: 'light', dark: 'dark' } as const
const signs = { system: '◐', light: '○', dark: '●' } as const

/** Goes from the colours of the system to light, to dark, and back. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(storedTheme)
  const change = () => {
    const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system'
    storeTheme(next)
    setTheme(next)
  }
  return (
    <button
      type="button"
      className="quiet sign"
      aria-label={`Colours: ${names[theme]}`}
      title={`Colours: ${names[theme]}`}
      onClick={change}
    >
      {signs[theme]}
    </button>
  )
}
