import { useMutation } from '@tanstack/react-query'
import { useId, useState } from 'react'
import { api, type RedriveAnswer, type StoredEvent } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { TextField } from '../components/text-field.tsx'
import { Window } from '../components/window.tsx'
import { Comparison } from './comparison.tsx'
import { base64Of, draftOf } from './draft.ts'

interface Editing {
  readonly letterId: string
  readonly event: StoredEvent
  /** Rejects with what is wrong with the redrive. */
  readonly onRedriven: (answer: RedriveAnswer) => Promise<void>
  readonly onClose: () => void
}

/** An editor of the data, and the redrive with what is edited. */
export default function EditWindow({ letterId, event, onRedriven, onClose }: Editing) {
  const id = useId()
  const [sent] = useState(() => draftOf(event))
  const [text, setText] = useState(sent.text)
  const [contentType, setContentType] = useState(event.data_content_type)
  const bodyOf = () => ({
    dead_letter_ids: [letterId],
    ...(text === sent.text && contentType === event.data_content_type
      ? {}
      : { data_base64: base64Of({ ...sent, text }, contentType), data_content_type: contentType }),
  })
  const tryOut = useMutation({ mutationFn: async () => await api.redrive({ ...bodyOf(), dry_run: true }) })
  const redrive = useMutation({
    mutationFn: async () => await onRedriven(await api.redrive(bodyOf())),
    onSuccess: onClose,
  })
  const change = (set: (value: string) => void) => (value: string) => {
    tryOut.reset()
    redrive.reset()
    set(value)
  }
  return (
    <Window
      isOpen
      onClose={onClose}
      title="Edit and redrive"
      description="The event keeps its id and time, so it lands once; only its data and media type change."
    >
      <div className="field">
        <label htmlFor={id}>{sent.form === 'base64' ? 'Data in base64' : 'Data'}</label>
        <textarea
          id={id}
          className="editor data-editor"
          value={text}
          spellCheck={false}
          onChange={({ target }) => change(setText)(target.value)}
        />
      </div>
      <TextField label="Media type" value={contentType} onChange={change(setContentType)} />
      <h3>Compare</h3>
      <Comparison sent={sent.text} edited={text} />
      <ProblemNote problem={tryOut.error ?? redrive.error} />
      {tryOut.data === undefined ? null : (
        <p className="note good" role="status">
          Dry run: {tryOut.data.matched} dead letter would be sent again. Nothing was changed.
        </p>
      )}
      <div className="actions">
        <button type="button" onClick={onClose}>
          Close
        </button>
        <button type="button" disabled={tryOut.isPending || redrive.isPending} onClick={() => tryOut.mutate()}>
          Dry run
        </button>
        <button type="button" className="primary" disabled={redrive.isPending} onClick={() => redrive.mutate()}>
          {redrive.isPending ? 'Redriving …' : 'Redrive'}
        </button>
      </div>
    </Window>
  )
}
