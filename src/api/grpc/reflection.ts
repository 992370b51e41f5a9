// gRPC reflection, v1 and v1alpha: lets grpcurl and similar tools discover the server's services.
//
// The descriptors are those of the generated code, so they always match what is served.

import { create, type DescFile, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import type { Server } from '@grpc/grpc-js'
import { loadFileDescriptorSetFromBuffer, loadSync } from '@grpc/proto-loader'
import { ReflectionService } from '@grpc/reflection'
import { protoPath as healthProtoPath } from 'grpc-health-check'

export function addReflection(server: Server, files: readonly DescFile[]): void {
  const set = create(FileDescriptorSetSchema, { file: withDependencies(files).map(({ proto }) => proto) })
  const ours = loadFileDescriptorSetFromBuffer(Buffer.from(toBinary(FileDescriptorSetSchema, set)))
  new ReflectionService({ ...ours, ...loadSync(healthProtoPath) }).addToServer(server)
}

/** Dependencies first, each once. */
function withDependencies(files: readonly DescFile[]): DescFile[] {
  const ordered = new Set<DescFile>()
  const visit = (file: DescFile) => {
    for (const dependency of file.dependencies) visit(dependency)
    ordered.add(file)
  }
  for (const file of files) visit(file)
  return [...ordered]
}
