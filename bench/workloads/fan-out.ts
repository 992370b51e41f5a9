// W4: what one producer publishes reaches every subscriber. The producer is at most a window ahead of the slowest one, so
// that nothing is dropped.

import { runBlock } from '../block.ts'
import { type FeedOptions, type FeedSource, measureFeed } from '../measure-feed.ts'
import { MessageFactory } from '../messages.ts'
import { PacedProducer } from '../paced-producer.ts'
import { ingestOnly, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

const eventsPerMessage = 100
/** Less than the buffer of a subscriber. */
const windowEvents = 20_000
const tickMs = 1

await runBlock((options: FeedOptions) =>
  withTempDirectory(async (directory) => {
    const service = await startService(directory, { ...ingestOnly, MILLRACE_CONNECTIONS_PER_ADDRESS_MAX: '2000' })
    const measured = await measureFeed(service, options, sourceOf(service.address, options.payloadBytes))
    await service.stop()
    return { ...measured, durability: 'disk' }
  }),
)

function sourceOf(address: string, payloadBytes: number): FeedSource {
  const producer = new PacedProducer(address, new MessageFactory({ eventsPerMessage, payloadBytes }))
  let timer: NodeJS.Timeout
  return {
    start: (received) => {
      timer = setInterval(() => producer.sendUpTo(received() + windowEvents), tickMs)
    },
    stop: async () => {
      clearInterval(timer)
      return await producer.end()
    },
  }
}
