// W6: one large file, over gRPC or as multipart over HTTP. No worker runs that would analyze it.

import { runBlock } from '../block.ts'
import { measureUpload, overGrpc, overMultipart, type UploadOptions } from '../measure-upload.ts'
import { ingestOnly, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface FileUploadOptions extends UploadOptions {
  readonly protocol: 'grpc' | 'multipart'
}

await runBlock((options: FileUploadOptions) =>
  withTempDirectory(async (directory) => {
    const service = await startService(directory, ingestOnly)
    const send =
      options.protocol === 'grpc' ? overGrpc(service.address) : overMultipart(`http://${service.http}/v1/files`)
    const measured = await measureUpload(service.pid, options, send, (fileId) => `${directory}/files/${fileId}`)
    await service.stop()
    return { ...measured, durability: 'disk' }
  }),
)
