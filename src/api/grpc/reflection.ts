// gRPC reflection, v1 and v1alpha: lets grpcurl and similar tools discover the server's services.
//
// The descriptors are those of the generated code, so they always match what is served.

import { createRequire } from 'node:module'
import { create, type DescFile, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import type { Server } from '@grpc/grpc-js'
import { addLazyService } from './lazy-service.ts'

const methods = ['v1', 'v1alpha'].map((version) => ({
  path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
  requestStream: true,
  responseStream: true,
}))

export function addReflection(server: Server, files: readonly DescFile[]): void {
  addLazyService(server, methods, (loading) => {
    const require = createRequire(import.meta.url)
    const { loadFileDescriptorSetFromBuffer, loadSync } =
      require('@grpc/proto-loader') as typeof import('@grpc/proto-loader')
    const { ReflectionService } = require('@grpc/reflection') as typeof import('@grpc/reflection')
    const { protoPath } = require('grpc-health-check') as typeof import('grpc-health-check')

    const set = create(FileDescriptorSetSchema, { file: withDependencies(files).map(({ proto }) => proto) })
    const ours = loadFileDescriptorSetFromBuffer(Buffer.from(toBinary(FileDescriptorSetSchema, set)))
    new ReflectionService({ ...ours, ...loadSync(protoPath) }).addToServer(loading)
  })
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
