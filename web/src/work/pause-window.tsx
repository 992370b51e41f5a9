import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, type Group } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { TextField } from '../components/text-field.tsx'
import { Window } from '../components/window.tsx'
import { formatCount } from '../format.ts'
import { groupsQuery } from './groups-query.ts'

interface Pausing {
  readonly group: Group
  readonly onClose: () => void
}

/** Asks why a group is paused. */
export default function PauseWindow({ group: { topic, name, waiting }, onClose }: Pausing) {
  const queries = useQueryClient()
  const [reason, setReason] = useState('')
  const pause = useMutation({
    mutationFn: () => api.pauseGroup(topic, name, reason.trim()),
    onSuccess: async () => {
      onClose()
      await queries.invalidateQueries({ queryKey: groupsQuery })
    },
  })
  const now = waiting === null ? 'How many wait now is not known.' : `Now ${formatCount(waiting)} wait.`
  return (
    <Window
      isOpen
      onClose={onClose}
      title={`Pause ${name} of ${topic}?`}
      description={`No process works for it until it is resumed, also after a restart. Its events are kept and wait, up to its limit of waiting events; then publishes are refused. ${now}`}
    >
      <form
        onSubmit={(submit) => {
          submit.preventDefault()
          pause.mutate()
        }}
      >
        <TextField
          label="Reason, for those who find it paused"
          placeholder="the mail server moves"
          value={reason}
          onChange={setReason}
        />
        <ProblemNote problem={pause.error} />
        <div className="actions">
          <button type="button" onClick={onClose}>
            Let it run
          </button>
          <button type="submit" className="primary" disabled={pause.isPending}>
            Pause
          </button>
        </div>
      </form>
    </Window>
  )
}
