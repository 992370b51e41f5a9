import { useState } from 'react'
import { TextField } from '../components/text-field.tsx'
import { mayDo, useSession } from '../session.ts'
import { sendHeartbeat } from './actions.ts'
import { activityLog } from './activity-log.ts'
import { objectProblem } from './json-check.ts'
import { Panel } from './panel.tsx'

/** An agent says that it lives. */
export function HeartbeatPanel() {
  const session = useSession()
  const [agentId, setAgentId] = useState('console')
  const [metadata, setMetadata] = useState('{"from": "a browser"}')
  const wrongMetadata = objectProblem(metadata)
  const problem = agentId === '' ? 'Name the agent.' : wrongMetadata === null ? null : `Metadata: ${wrongMetadata}`
  const text = `{"agent_id":${JSON.stringify(agentId)},"metadata":${metadata}}`
  return (
    <Panel
      title="Heartbeat"
      kindOfCall="one way"
      about="One durable event. The answer comes when it is stored, and waits for no worker; the table of agents follows."
      kind="heartbeat"
      verb="Send heartbeat"
      problem={problem}
      call={problem === null ? { path: 'v1/heartbeats', data: text } : null}
      onSend={() =>
        activityLog.begin('heartbeat', agentId, (run) =>
          sendHeartbeat(run, { agentId, text }, { mayRead: mayDo(session, 'read') }),
        )
      }
    >
      <div className="filters">
        <TextField label="Agent" value={agentId} onChange={setAgentId} />
        <TextField label="Metadata, as JSON" value={metadata} onChange={setMetadata} />
      </div>
    </Panel>
  )
}
