// F4: a bare grpc-js client stream of the same chunks, which the server writes to a file and flushes at its end.

import { runBlock } from '../block.ts'
import { measureUpload, overGrpc, type UploadOptions } from '../measure-upload.ts'
import { startProgram } from '../program.ts'
import { withTempDirectory } from '../temp-directory.ts'

await runBlock((options: UploadOptions) =>
  withTempDirectory(async (directory) => {
    const server = await startProgram('bare-grpc-server', ['1', directory])
    try {
      const send = overGrpc(server.address)
      const measured = await measureUpload(server.pid, options, send, (fileId) => `${directory}/${fileId}`)
      return { ...measured, durability: 'disk' }
    } finally {
      await server.stop()
    }
  }),
)
