import { useState } from 'react'
import { TextArea } from '../components/text-area.tsx'
import { analysisType, analyzeText } from './actions.ts'
import { activityLog } from './activity-log.ts'
import { Panel } from './panel.tsx'

/** A request, and the reply of a worker. */
export function TextPanel() {
  const [text, setText] = useState('to be or not to be')
  const problem = text === '' ? 'Write a text.' : null
  return (
    <Panel
      title="Text analysis"
      kindOfCall="request and reply"
      about="A question goes through the log to a worker of its type; whatever fails meanwhile, one reply comes back."
      kind="text"
      verb="Analyze"
      problem={problem}
      call={problem === null ? { path: `v1/requests/${analysisType}`, data: text } : null}
      onSend={() => activityLog.begin('text', text, (run) => analyzeText(run, text))}
    >
      <TextArea label="Text" lines={2} value={text} onChange={setText} />
    </Panel>
  )
}
