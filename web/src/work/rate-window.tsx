import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, type Group } from '../api.ts'
import { ProblemNote } from '../components/problem-note.tsx'
import { TextField } from '../components/text-field.tsx'
import { Window } from '../components/window.tsx'
import { formatSeconds } from '../format.ts'
import { groupsQuery } from './groups-query.ts'

interface Limiting {
  readonly group: Group
  readonly onClose: () => void
}

const ratePattern = /^[1-9]\d{0,8}$/

/** Asks how fast a group may go on. */
export default function RateWindow({ group: { topic, name, rate, waiting }, onClose }: Limiting) {
  const queries = useQueryClient()
  const [text, setText] = useState(String(rate ?? 50))
  const isRate = ratePattern.test(text.trim())
  const resume = useMutation({
    mutationFn: () => api.resumeGroup(topic, name, Number(text)),
    onSuccess: async () => {
      onClose()
      await queries.invalidateQueries({ queryKey: groupsQuery })
    },
  })
  return (
    <Window
      isOpen
      onClose={onClose}
      title={`Run ${name} of ${topic} at a rate`}
      description="All its processes together get at most so many events per second, until it is resumed at full speed. Each attempt counts."
    >
      <form
        onSubmit={(submit) => {
          submit.preventDefault()
          if (isRate) resume.mutate()
        }}
      >
        <TextField label="Rate, in events per second" value={text} onChange={setText} />
        <p className="faint" role="status">
          {isRate ? takes(waiting, Number(text)) : 'The rate is a whole number of events per second, 1 or more.'}
        </p>
        <ProblemNote problem={resume.error} />
        <div className="actions">
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="primary" disabled={!isRate || resume.isPending}>
            Run at this rate
          </button>
        </div>
      </form>
    </Window>
  )
}

function takes(waiting: number | null, rate: number): string {
  if (waiting === null) return 'How long what waits takes is not known.'
  if (waiting === 0) return 'Nothing waits now.'
  return `What waits now takes ${formatSeconds(Math.ceil(waiting / rate))} at least.`
}
