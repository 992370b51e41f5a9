import type { ReactNode } from 'react'

export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent'

/** One word about a state. */
export function Badge({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }) {
  return <span className={`badge ${tone}`}>{children}</span>
}
