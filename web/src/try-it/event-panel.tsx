import { useState } from 'react'
import { exactJson, type StoredEvent } from '../api.ts'
import { TextArea } from '../components/text-area.tsx'
import { TextField } from '../components/text-field.tsx'
import { mayDo, useSession } from '../session.ts'
import { useTopics } from '../topics.ts'
import { draftOf, publishEvent } from './actions.ts'
import { activityLog } from './activity-log.ts'
import { eventProblem } from './json-check.ts'
import { Panel } from './panel.tsx'
import { keep, kept } from './tab-session.ts'

const first = `{
  "type": "order.placed",
  "source": "/try-it",
  "data": { "order": 42, "total": 12.50 }
}`
const eventName = 'millrace.try.event'
const topicName = 'millrace.try.topic'

/** An event that a person writes; the last one is kept. */
export function EventPanel() {
  const session = useSession()
  const topics = useTopics()
  const [text, setText] = useState(() => kept(eventName) ?? first)
  const [topic, setTopic] = useState(() => kept(topicName) ?? 'events')
  const problem = topic === '' ? 'Name a topic.' : eventProblem(text)
  const send = () => {
    const event = JSON.parse(text) as Partial<StoredEvent>
    const draft = draftOf(topic, text, event)
    activityLog.begin('event', `${event.type} to ${topic}`, (run) =>
      publishEvent(run, draft, { mayRead: mayDo(session, 'read') }),
    )
  }
  return (
    <Panel
      title="Your own event"
      kindOfCall="publish"
      about="Any type and any JSON as its data. Without an id of yours it gets a new one each time; with one, sending it again adds no row."
      kind="event"
      verb="Publish"
      problem={problem}
      call={
        problem === null
          ? {
              path: 'v1/events',
              ...(topic === 'events' ? {} : { query: { topic } }),
              headers: ['content-type: application/json'],
              // In one line, with every digit.
              data: JSON.stringify(exactJson(text)),
            }
          : null
      }
      onSend={send}
      more={
        text === first ? null : (
          <button type="button" className="quiet" onClick={() => setText(first)}>
            Begin anew
          </button>
        )
      }
    >
      <TextField
        label="Topic"
        value={topic}
        suggestions={topics}
        onChange={(next) => {
          setTopic(next)
          keep(topicName, next)
        }}
      />
      <TextArea
        label="Event"
        lines={6}
        value={text}
        onChange={(next) => {
          setText(next)
          keep(eventName, next)
        }}
      />
    </Panel>
  )
}
