import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { Count, Time } from '../components/values.tsx'
import { useWorkers } from './use-workers.ts'

/** The workers of other processes that are connected to this server. */
export function Workers() {
  const { data, error } = useWorkers()
  return (
    <Section title="Workers" aside="of other processes, connected to this one">
      <ProblemNote problem={error} />
      {data?.length === 0 ? (
        <Empty command="node examples/worker.ts">No worker is connected. Handlers inside the server need none.</Empty>
      ) : null}
      {data === undefined || data.length === 0 ? null : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Address</th>
                <th scope="col">Group</th>
                <th scope="col">Topic</th>
                <th scope="col">Connected</th>
                <th scope="col" className="right">
                  In flight
                </th>
                <th scope="col" className="right">
                  At most
                </th>
              </tr>
            </thead>
            <tbody>
              {data.map((worker) => (
                <tr key={`${worker.peer} ${worker.topic}/${worker.group} ${worker.since}`}>
                  <td>
                    <code>{worker.peer}</code>
                  </td>
                  <td>{worker.group}</td>
                  <td>{worker.topic}</td>
                  <td>
                    <Time of={worker.since} />
                  </td>
                  <td className="right">
                    <Count of={worker.in_flight} />
                  </td>
                  <td className="right">
                    <Count of={worker.max_in_flight} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  )
}
