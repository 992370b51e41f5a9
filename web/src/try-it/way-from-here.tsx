import { useLocation } from 'wouter'
import { Section } from '../components/section.tsx'
import { useActivities } from './activity-log.ts'
import { Way } from './way.tsx'

/** The way of what this page is about, when it was sent from this tab; else nothing. */
export function WayFromHere() {
  const [here] = useLocation()
  const activity = useActivities().find(({ page }) => page === here)
  if (activity === undefined) return null
  return (
    <Section title="Journey" aside="as this tab saw it">
      <Way steps={activity.steps} doing={activity.doing} />
    </Section>
  )
}
