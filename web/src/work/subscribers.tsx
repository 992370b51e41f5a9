import { useInfiniteQuery } from '@tanstack/react-query'
import { api, type Subscriber } from '../api.ts'
import { Badge } from '../components/badge.tsx'
import { Empty } from '../components/empty.tsx'
import { MoreButton } from '../components/more-button.tsx'
import { ProblemNote } from '../components/problem-note.tsx'
import { Section } from '../components/section.tsx'
import { Bytes, Count, Time } from '../components/values.tsx'

const askEveryMs = 3000
const pageLimit = 100

/** Who follows the live feed of this server, how far behind, and what was dropped for them. */
export function Subscribers() {
  const { data, error, ...pages } = useInfiniteQuery({
    queryKey: ['subscribers'],
    queryFn: ({ pageParam, signal }) => api.subscribers({ limit: pageLimit, cursor: pageParam }, signal),
    initialPageParam: '',
    getNextPageParam: ({ next_cursor: cursor }) => cursor,
    refetchInterval: askEveryMs,
  })
  const subscribers = data?.pages.flatMap((page) => page.subscribers) ?? []
  return (
    <Section title="Subscribers" aside="of the live feed of this process">
      <ProblemNote problem={error} />
      {data !== undefined && subscribers.length === 0 ? (
        <Empty command="npx millrace tail">Nobody follows the live feed. To follow it from a terminal:</Empty>
      ) : null}
      {subscribers.length === 0 ? null : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Subscriber</th>
                <th scope="col">Topic</th>
                <th scope="col">State</th>
                <th scope="col">Since</th>
                {['Lag', 'Buffered', 'Sent', 'Dropped'].map((name) => (
                  <th key={name} scope="col" className="right">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {subscribers.map((subscriber) => (
                <SubscriberRow key={`${subscriber.subscriber_id} ${subscriber.since}`} subscriber={subscriber} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <MoreButton {...pages} />
    </Section>
  )
}

function SubscriberRow({ subscriber }: { readonly subscriber: Subscriber }) {
  const { is_live: isLive, dropped_events: dropped } = subscriber
  return (
    <tr>
      <td className="break">{subscriber.subscriber_id}</td>
      <td>{subscriber.topic}</td>
      <td>
        <Badge tone={isLive ? 'good' : 'plain'}>{isLive ? 'live' : 'catching up'}</Badge>
      </td>
      <td>
        <Time of={subscriber.since} />
      </td>
      <td className="right">
        <Count of={subscriber.lag_events} />
      </td>
      <td className="right">
        <Count of={subscriber.buffered_events} />{' '}
        <span className="faint">
          <Bytes of={subscriber.buffered_bytes} />
        </span>
      </td>
      <td className="right">
        <Count of={subscriber.sent_events} />
      </td>
      <td className={dropped === 0 ? 'right zero' : 'right'}>
        <Count of={dropped} why="some were dropped; how many is not known" />
      </td>
    </tr>
  )
}
