import { compareLines } from './compare.ts'

const signs = { same: ' ', removed: '−', added: '+' } as const
const names = { same: '', removed: 'sent: ', added: 'edited: ' } as const

/** What was sent against what is edited, line by line. */
export function Comparison({ sent, edited }: { readonly sent: string; readonly edited: string }) {
  const lines = compareLines(sent, edited)
  if (sent === edited) return <p className="faint">Nothing is changed yet.</p>
  if (lines === null) return <p className="note">Too much differs to be shown line by line.</p>
  return (
    <section aria-label="What was sent against what is edited">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: long data is scrolled by keyboard too */}
      <pre className="data comparison" tabIndex={0}>
        {lines.map(({ is, text }, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other identity
          <span key={index} className={is}>
            <span aria-hidden="true">{signs[is]} </span>
            {names[is] === '' ? null : <span className="hidden">{names[is]}</span>}
            {text}
            {'\n'}
          </span>
        ))}
      </pre>
    </section>
  )
}
