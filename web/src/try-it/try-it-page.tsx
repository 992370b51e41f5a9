// Try it: four ways into the pipeline, each with the way that it took, and what was done from this tab.

import { ActivityList } from './activity-list.tsx'
import { EventPanel } from './event-panel.tsx'
import { FilePanel } from './file-panel.tsx'
import { HeartbeatPanel } from './heartbeat-panel.tsx'
import { TextPanel } from './text-panel.tsx'
import './try-it.css'

export default function TryItPage() {
  return (
    <>
      <h1>Try it</h1>
      <div className="panels">
        <div>
          <HeartbeatPanel />
          <TextPanel />
        </div>
        <div>
          <FilePanel />
          <EventPanel />
        </div>
      </div>
      <ActivityList />
    </>
  )
}
