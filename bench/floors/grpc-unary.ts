// F2: bare grpc-js unary calls with the same bytes, which the server sends back.

import { runBlock } from '../block.ts'
import { measureRequests, type RequestOptions } from '../measure-requests.ts'
import { startProgram } from '../program.ts'

await runBlock(async (options: RequestOptions) => {
  const server = await startProgram('bare-grpc-server', [])
  try {
    const { requestsInAll, ...measured } = await measureRequests(server, options)
    return { ...measured, durability: 'none' }
  } finally {
    await server.stop()
  }
})
