// Tests of what every log guarantees: the sentences of src/event-log/event-log.ts. A driver's test file consists of its
// harness and one call of `eventLogSuite`. There are no flags to skip a test.
//
// The suite uses only the contract and the verbs of the harness. After a crash, a driver may redeliver leased entries
// at once, or only when the lease has expired: so the suite lets the lease expire before it reads.

import { test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { appending } from './event-log/appending.ts'
import { closing } from './event-log/closing.ts'
import { declaring } from './event-log/declaring.ts'
import { describing } from './event-log/describing.ts'
import { dropping } from './event-log/dropping.ts'
import { givingBack } from './event-log/giving-back.ts'
import { handingOut } from './event-log/handing-out.ts'
import { holding } from './event-log/holding.ts'
import { numberedMessages } from './event-log/numbered-messages.ts'
import { ordering } from './event-log/ordering.ts'
import { pausing } from './event-log/pausing.ts'
import { permitting } from './event-log/permitting.ts'
import { readingSettled } from './event-log/reading-settled.ts'
import { refusing } from './event-log/refusing.ts'
import { reopening } from './event-log/reopening.ts'
import { requesting } from './event-log/requesting.ts'
import { settling } from './event-log/settling.ts'
import type { Story } from './event-log/story.ts'
import { tailing } from './event-log/tailing.ts'
import { trimming } from './event-log/trimming.ts'
import { Bench, type EventLogHarness } from './event-log-bench.ts'
import { eventLogModelTest } from './event-log-model.ts'
import { group, topic } from './event-log-verbs.ts'

export function eventLogSuite(harness: EventLogHarness): void {
  const story: Story = (title, body) =>
    test(`${title} (${harness.driver})`, async (t) => {
      const under = await harness.create()
      cleanup(t, () => under.destroy())
      const bench = new Bench(under, await under.open())
      cleanup(t, () => bench.log.close())
      await bench.log.declare(topic, { partitions: 2, groups: [{ name: group }] })
      await body(bench, t)
    })

  declaring(story)
  appending(story)
  refusing(story)
  numberedMessages(story)
  handingOut(story)
  settling(story)
  givingBack(story)
  reopening(story)
  readingSettled(story)
  describing(story)
  trimming(story)
  pausing(story)
  permitting(story)
  ordering(story)
  holding(story)
  dropping(story)
  requesting(story)
  tailing(story)
  closing(story)
  eventLogModelTest(harness)
}
