import { useQuery } from '@tanstack/react-query'
import { api } from '../api.ts'
import { Empty } from '../components/empty.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { formatCount } from '../format.ts'
import { GroupCard } from './group-card.tsx'
import { groupsQuery } from './groups-query.ts'

const askEveryMs = 2000

/** Every group, with why its events wait. Their order stays, so that none moves away from under the pointer. */
export function Groups() {
  const { data, error } = useQuery({
    queryKey: groupsQuery,
    queryFn: ({ signal }) => api.groups(signal),
    refetchInterval: askEveryMs,
  })
  const stuck = (data ?? []).filter(({ state }) => state.is !== 'running').length
  const aside = data === undefined ? '' : `${formatCount(data.length)}, of which ${formatCount(stuck)} held back`
  return (
    <Section title="Groups" aside={aside}>
      <ProblemNote problem={error} />
      {data?.length === 0 ? (
        <Empty command="npx millrace groups list">No group is declared, or none that your key is for.</Empty>
      ) : null}
      <ul className="groups" aria-label="Groups">
        {data?.map((group) => (
          <GroupCard key={`${group.topic}/${group.name}`} group={group} />
        ))}
      </ul>
    </Section>
  )
}
