// gRPC reflection, v1 and v1alpha: lets grpcurl and similar tools discover the server's services.
//
// The descriptors are those of the generated code, so they always match what is served. The libraries and descriptors are loaded
// at the first call: they are a fifth of what a server's start costs, and most servers are never asked.

import { createRequire } from 'node:module'
import { create, type DescFile, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import type { MethodDefinition, Server, ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js'

type Method = MethodDefinition<unknown, unknown>
interface Reflection {
  readonly method: Method
  readonly handle: (call: ServerDuplexStream<unknown, unknown>) => void
}

const methodName = 'ServerReflectionInfo'
const versions = ['v1', 'v1alpha'] as const

export function addReflection(server: Server, files: readonly DescFile[]): void {
  let loaded: ReadonlyMap<string, Reflection> | undefined
  for (const version of versions) {
    const path = `/grpc.reflection.${version}.ServerReflection/${methodName}`
    const reflection = () => {
      loaded ??= loadReflection(files)
      return loaded.get(path) as Reflection
    }
    const method: Method = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: (request) => reflection().method.requestSerialize(request),
      requestDeserialize: (bytes) => reflection().method.requestDeserialize(bytes),
      responseSerialize: (response) => reflection().method.responseSerialize(response),
      responseDeserialize: (bytes) => reflection().method.responseDeserialize(bytes),
    }
    server.addService(
      { [methodName]: method },
      { [methodName]: (call: ServerDuplexStream<unknown, unknown>) => reflection().handle(call) },
    )
  }
}

/** Returns what @grpc/reflection would add to a server, by path. */
function loadReflection(files: readonly DescFile[]): ReadonlyMap<string, Reflection> {
  const require = createRequire(import.meta.url)
  const { loadFileDescriptorSetFromBuffer, loadSync } =
    require('@grpc/proto-loader') as typeof import('@grpc/proto-loader')
  const { ReflectionService } = require('@grpc/reflection') as typeof import('@grpc/reflection')
  const { protoPath } = require('grpc-health-check') as typeof import('grpc-health-check')

  const set = create(FileDescriptorSetSchema, { file: withDependencies(files).map(({ proto }) => proto) })
  const ours = loadFileDescriptorSetFromBuffer(Buffer.from(toBinary(FileDescriptorSetSchema, set)))
  const added = new Map<string, Reflection>()
  const addService = (definition: ServiceDefinition, handlers: Record<string, unknown>) => {
    const method = definition[methodName] as Method
    added.set(method.path, { method, handle: handlers[methodName] as Reflection['handle'] })
  }
  new ReflectionService({ ...ours, ...loadSync(protoPath) }).addToServer({ addService } as unknown as Server)
  return added
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
