import { Hint } from './hint.tsx'

/** What is not known; never 0. */
export function Unknown({ why = 'not known' }: { readonly why?: string }) {
  return (
    <Hint text={why}>
      <span className="unknown">–</span>
    </Hint>
  )
}
