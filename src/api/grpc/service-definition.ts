// Builds the service definition of grpc-js from the protobuf descriptor, so no code is generated for it.

import { type DescMethod, type DescService, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'

/** The path of a method on the wire, for example `/millrace.v1.IngestService/Publish`. */
export function pathOf(service: DescService, methodName: string): string {
  return `/${service.typeName}/${methodName}`
}

/**
 * @param rawMethods names of the methods whose handlers get requests as undecoded bytes: decoding would cost as much as
 *   receiving. They may answer with bytes.
 */
export function serviceDefinitionOf(service: DescService, rawMethods: readonly string[] = []): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      methodDefinitionOf(method, pathOf(service, method.name), rawMethods.includes(method.name)),
    ]),
  )
}

function methodDefinitionOf(method: DescMethod, path: string, raw: boolean): MethodDefinition<unknown, Message> {
  const { input, output, methodKind } = method
  return {
    path,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (request) => asBuffer(toBinary(input, request as Message)),
    requestDeserialize: raw ? (bytes) => bytes : (bytes) => fromBinary(input, bytes),
    responseSerialize: (response: Message | Buffer) =>
      Buffer.isBuffer(response) ? response : asBuffer(toBinary(output, response)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
