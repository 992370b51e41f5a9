// Tests of what every log guarantees: the sentences of src/event-log/event-log.ts. A driver's test file consists of its
// harness and one call of `eventLogSuite`. There are no flags to skip a test.
//
// The suite uses only the contract and the verbs of the harness. After a crash, a driver may redeliver leased entries
// at once, or only when the lease has expired: so the suite lets the lease expire before it reads.

import { after, before, suite, test } from 'node:test'
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
import { group, resetTopic, topic, useTopic } from './event-log-verbs.ts'

type Section = (story: Story) => void

/** Their stories look only at their own topic. They may crash the log, restart it and let its time pass. */
const onOneLog: readonly Section[] = [
  ...[appending, refusing, numberedMessages, handingOut, settling, givingBack, reopening, readingSettled, describing],
  ...[trimming, pausing, permitting, ordering, holding, dropping, requesting, tailing],
]

/** Their stories list all topics of the log, or close it. */
const onLogsOfTheirOwn: readonly Section[] = [declaring, closing]

export function eventLogSuite(harness: EventLogHarness): void {
  for (const section of onOneLog) runOnOneLog(section, harness)
  for (const section of onLogsOfTheirOwn) section(storyOnItsOwnLog(harness))
  eventLogModelTest(harness)
}

/** Opening a log takes longer than most stories, so those of a section share one, and each has a topic of its own. */
function runOnOneLog(section: Section, harness: EventLogHarness): void {
  suite(`${section.name} (${harness.driver})`, () => {
    let bench: Bench
    before(async () => {
      const under = await harness.create()
      bench = new Bench(under, await under.open())
    })
    after(async () => {
      resetTopic()
      await bench.log.close()
      await bench.under.destroy()
    })
    let stories = 0
    section((title, body) =>
      test(`${title} (${harness.driver})`, async (t) => {
        useTopic(`orders-${++stories}`)
        await declareTopic(bench)
        await body(bench, t)
      }),
    )
  })
}

function storyOnItsOwnLog(harness: EventLogHarness): Story {
  return (title, body) =>
    test(`${title} (${harness.driver})`, async (t) => {
      const under = await harness.create()
      cleanup(t, () => under.destroy())
      const bench = new Bench(under, await under.open())
      cleanup(t, () => bench.log.close())
      await declareTopic(bench)
      await body(bench, t)
    })
}

function declareTopic({ log }: Bench): Promise<void> {
  return log.declare(topic, { partitions: 2, groups: [{ name: group }] })
}
