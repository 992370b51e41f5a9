import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'wouter'
import { api, type StoredEvent } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { Window } from '../components/window.tsx'
import { formatJson } from '../format.ts'
import { newId } from '../new-id.ts'
import { eventPath } from '../paths.ts'

/** An editor with the event as it would be published again. */
export default function SendAgain({ event, onClose }: { readonly event: StoredEvent; readonly onClose: () => void }) {
  const [text, setText] = useState(() => formatJson(draftOf(event)))
  const send = useMutation({
    mutationFn: async () => {
      const { id, source } = draftIdentity(text)
      const { accepted, rejections } = await api.publish(event.topic, text)
      if (accepted === 0)
        throw new Error(rejections[0]?.message ?? 'The event was dropped: there is no room for it now.')
      return { id, source }
    },
  })
  return (
    <Window
      isOpen
      onClose={onClose}
      title="Edit and send again"
      description={`Published to ${event.topic} as a new event: it has an id of its own. With the id of the old one nothing would land twice.`}
    >
      <textarea
        aria-label="Event as JSON"
        className="editor"
        value={text}
        spellCheck={false}
        onChange={({ target }) => setText(target.value)}
      />
      <ProblemNote problem={send.error} />
      {send.isSuccess ? (
        <p className="note good" role="status">
          Accepted.{' '}
          <Link href={eventPath(send.data.id, send.data.source)} onClick={onClose}>
            Its journey
          </Link>
        </p>
      ) : null}
      <div className="actions">
        <button type="button" onClick={onClose}>
          Close
        </button>
        <button type="button" className="primary" disabled={send.isPending} onClick={() => send.mutate()}>
          Send
        </button>
      </div>
    </Window>
  )
}

/** What a producer may set. */
function draftOf(event: StoredEvent): object {
  const { event_id: _row, topic: _topic, received_at: _received, data_omitted: _omitted, time: _time, ...given } = event
  const used = Object.entries(given).filter(([, value]) => value !== '' && !isEmptyObject(value))
  return { ...Object.fromEntries(used), id: newId() }
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function draftIdentity(text: string): { readonly id: string; readonly source: string } {
  const { id, source = '/' } = JSON.parse(text)
  return { id, source }
}
