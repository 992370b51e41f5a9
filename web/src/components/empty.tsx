import type { ReactNode } from 'react'
import { CommandLine } from './command-line.tsx'

interface Nothing {
  readonly children: ReactNode
  /** What to run next. */
  readonly command?: string
}

/** Says what is not there, and what to do next. */
export function Empty({ children, command }: Nothing) {
  return (
    <div className="empty">
      <p>{children}</p>
      {command === undefined ? null : <CommandLine command={command} />}
    </div>
  )
}
