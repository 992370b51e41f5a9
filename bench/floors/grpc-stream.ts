// F1: a bare grpc-js client stream of the same messages, which the server drops.

import { runBlock } from '../block.ts'
import { measureStream, type StreamOptions } from '../measure-stream.ts'
import { startProgram } from '../program.ts'

await runBlock(async (options: StreamOptions) => {
  const server = await startProgram('bare-grpc-server', [String(options.eventsPerMessage)])
  try {
    const { events, seconds, serviceCpuSeconds, problems, details } = await measureStream(server, options)
    return { events, seconds, serviceCpuSeconds, durability: 'none', problems, details }
  } finally {
    await server.stop()
  }
})
