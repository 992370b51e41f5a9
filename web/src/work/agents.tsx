import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import { addressOf, api } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { MoreButton } from '../components/more-button.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { Time } from '../components/values.tsx'

const askEveryMs = 5000
const pageLimit = 100

/** Who sends heartbeats. */
export function Agents() {
  const { data, error, ...pages } = useInfiniteQuery({
    queryKey: ['agents'],
    queryFn: ({ pageParam, signal }) => api.agents({ limit: pageLimit, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: ({ next_cursor: cursor }) => cursor,
    refetchInterval: askEveryMs,
  })
  const agents = data?.pages.flatMap((page) => page.agents) ?? []
  return (
    <Section title="Agents" aside="programs that send heartbeats">
      <ProblemNote problem={error} />
      {data !== undefined && agents.length === 0 ? (
        <Empty command={`curl -d '{"agent_id":"edge-7"}' ${addressOf('v1/heartbeats')}`}>
          No agent has sent a heartbeat. <Link href="/try">Try it</Link> sends one; so does:
        </Empty>
      ) : null}
      {agents.length === 0 ? null : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Agent</th>
                <th scope="col">State</th>
                <th scope="col">Last seen</th>
              </tr>
            </thead>
            <tbody>
              {agents.map(({ agent_id: id, online, last_seen: lastSeen }) => (
                <tr key={id}>
                  <td className="break">{id}</td>
                  <td>
                    <Badge tone={online ? 'good' : 'plain'}>{online ? 'online' : 'offline'}</Badge>
                  </td>
                  <td>
                    <Time of={lastSeen} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <MoreButton {...pages} />
    </Section>
  )
}
