// Who works on the events, and what keeps those that wait.

import { Agents } from './agents.tsx'
import { Groups } from './groups.tsx'
import { Subscribers } from './subscribers.tsx'
import { Workers } from './workers.tsx'
import './work.css'

export default function WorkPage() {
  return (
    <>
      <h1>Work</h1>
      <Groups />
      <Workers />
      <Agents />
      <Subscribers />
    </>
  )
}
