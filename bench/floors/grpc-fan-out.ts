// F3: a bare grpc-js server writes one message for each event to each subscriber, as fast as the slowest one takes them.

import { runBlock } from '../block.ts'
import { type FeedOptions, measureFeed } from '../measure-feed.ts'
import { startProgram } from '../program.ts'

await runBlock(async (options: FeedOptions) => {
  const server = await startProgram('bare-feed-server', [String(options.subscribers), String(options.payloadBytes)])
  try {
    const measured = await measureFeed(server, options, { start: () => {}, stop: async () => null })
    return { ...measured, durability: 'none' }
  } finally {
    await server.stop()
  }
})
