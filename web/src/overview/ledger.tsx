import type { LedgerRow } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Unknown } from '../components/unknown.tsx'
import { Count } from '../components/values.tsx'

const terms = ['accepted', 'reopened', 'waiting', 'landed', 'dead', 'lost'] as const

/** Where every accepted event is: accepted + reopened = waiting + landed + dead + lost. */
export function Ledger({ rows }: { readonly rows: readonly LedgerRow[] }) {
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Topic</th>
            <th scope="col">Group</th>
            {terms.map((term) => (
              <th key={term} scope="col" className="right">
                {term}
              </th>
            ))}
            <th scope="col">Balance</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={`${row.topic}/${row.group}`}>
              <td>{row.topic}</td>
              <td>{row.group}</td>
              {terms.map((term) => (
                <td key={term} className={row[term] === 0 ? 'right zero' : 'right'}>
                  <Count of={row[term]} />
                </td>
              ))}
              <td>
                <Balance of={row.balanced} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Balance({ of }: { readonly of: boolean | null }) {
  if (of === null) return <Unknown why="the log has not been audited in time" />
  return of ? <Badge tone="good">balanced</Badge> : <Badge tone="bad">not balanced</Badge>
}
