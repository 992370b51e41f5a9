// Events: as they are accepted, and those that have landed.

import { Tabs } from '@base-ui/react/tabs'
import { LandedEvents } from './landed-events.tsx'
import { LiveEvents } from './live-events.tsx'

export default function EventsPage() {
  return (
    <>
      <h1>Events</h1>
      <Tabs.Root defaultValue="live">
        <Tabs.List className="tabs">
          <Tabs.Tab value="live">Live</Tabs.Tab>
          <Tabs.Tab value="landed">Landed</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="live">
          <LiveEvents />
        </Tabs.Panel>
        <Tabs.Panel value="landed">
          <LandedEvents />
        </Tabs.Panel>
      </Tabs.Root>
    </>
  )
}
