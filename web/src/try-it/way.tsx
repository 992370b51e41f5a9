import type { CSSProperties } from 'react'
import { formatSeconds } from '../format.ts'
import type { Step } from './activity-log.ts'
import './try-it.css'

/** Each step with the time that it took, as this page saw it. */
export function Way({ steps, doing }: { readonly steps: readonly Step[]; readonly doing: string | null }) {
  const totalMs = Math.max(steps.at(-1)?.afterMs ?? 0, 0.001)
  return (
    <table className="journey way">
      <thead className="hidden">
        <tr>
          <th scope="col">Step</th>
          <th scope="col">Took</th>
          <th scope="col">Way</th>
        </tr>
      </thead>
      <tbody>
        {steps.map(({ name, afterMs, detail }, index) => {
          const before = steps[index - 1]?.afterMs ?? afterMs
          const place = { '--from': before / totalMs, '--to': afterMs / totalMs } as CSSProperties
          return (
            <tr key={name}>
              <td>
                {name}
                {detail === undefined ? null : <div className="detail">{detail}</div>}
              </td>
              <td
                className="right number"
                title={`${formatSeconds(afterMs / 1000)} after the beginning, as this page saw it`}
              >
                {index === 0 ? null : formatSeconds((afterMs - before) / 1000)}
              </td>
              <td className="bars">
                <div className="bar-line">{index === 0 ? null : <div className="bar working" style={place} />}</div>
              </td>
            </tr>
          )
        })}
        {doing === null ? null : (
          <tr>
            <td className="faint" colSpan={3}>
              {doing} …
            </td>
          </tr>
        )}
      </tbody>
    </table>
  )
}
