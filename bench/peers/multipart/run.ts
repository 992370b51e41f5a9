// @fastify/multipart: the same chunks as one part of a multipart body.

import { runBlock } from '../../block.ts'
import { measureUpload, overMultipart, type UploadOptions } from '../../measure-upload.ts'
import { startProgram } from '../../program.ts'
import { withTempDirectory } from '../../temp-directory.ts'

await runBlock((options: UploadOptions) =>
  withTempDirectory(async (directory) => {
    const server = await startProgram('peers/multipart/server', [directory])
    try {
      const send = overMultipart(`http://${server.address}/`)
      const measured = await measureUpload(server.pid, options, send, (fileId) => `${directory}/${fileId}`)
      return { ...measured, durability: 'disk' }
    } finally {
      await server.stop()
    }
  }),
)
