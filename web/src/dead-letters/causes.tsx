import type { DeadLetterCause } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Count, Time } from '../components/values.tsx'
import type { Filter } from './filter.ts'

interface Counted {
  readonly causes: readonly DeadLetterCause[]
  readonly filter: Filter
  readonly onFilter: (next: Filter) => void
}

/** Why events died, most frequent first; a cause chosen becomes the filter. */
export function Causes({ causes, filter, onFilter }: Counted) {
  return (
    <div className="scroll">
      <table className="causes">
        <thead>
          <tr>
            <th scope="col" className="right">
              Letters
            </th>
            <th scope="col">Type</th>
            <th scope="col">Cause</th>
            <th scope="col">Group</th>
            <th scope="col">First</th>
            <th scope="col">Last</th>
          </tr>
        </thead>
        <tbody>
          {causes.map((cause) => {
            const { topic, group, type, code, message, dead_letters: count } = cause
            return (
              <tr key={JSON.stringify([topic, group, type, code, message])}>
                <td className="right">
                  <Count of={count} />
                </td>
                <td className="break">
                  <button
                    type="button"
                    className="link"
                    title="Only these"
                    onClick={() => onFilter({ ...filter, topic, group, type, code })}
                  >
                    {type === '' ? '(none)' : type}
                  </button>
                </td>
                <td className="cause">
                  <Badge tone="bad">{code}</Badge> <span className="break">{message}</span>
                </td>
                <td className="break">
                  {topic} → {group}
                </td>
                <td>
                  <Time of={cause.first_dead_at} />
                </td>
                <td>
                  <Time of={cause.last_dead_at} />
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}
