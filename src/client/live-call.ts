// One Subscribe call.
//
// Messages are read as the caller takes them: grpc-js reads up to 16 ahead, about 1 MiB, then HTTP/2 stops the server.

import { type ClientReadableStream, type Client as GrpcClient, status as grpcStatus, Metadata } from '@grpc/grpc-js'
import { errorOfCall, type FailedCall } from './grpc-errors.ts'

const path = '/millrace.v1.LiveService/Subscribe'

export interface OpenedCall {
  readonly subscriberId: string
  /** Where the stream begins. */
  readonly cursor: string
}

export class LiveCall {
  /** Resolves when the server has taken the subscription. */
  readonly opened: Promise<OpenedCall>
  readonly #call: ClientReadableStream<Buffer>
  readonly #status: Promise<FailedCall>

  constructor(client: GrpcClient, request: Buffer, signal: AbortSignal | undefined, metadata = new Metadata()) {
    // No deadline: the call lasts as long as its subscription, and may be silent as long as nothing matches. Keepalive detects
    // a dead link (server-connection.ts): no more is in flight than HTTP/2 allows, so a slow link still answers in time.
    const call = client.makeServerStreamRequest<Buffer, Buffer>(
      path,
      (bytes) => bytes,
      (bytes) => bytes,
      request,
      metadata,
    )
    this.#call = call
    // Before the first read grpc-js would take all that the server sends.
    call.read(0)
    // The status has the same error, and is also there for one who reads later.
    call.on('error', () => {})
    this.#status = new Promise((resolve) => call.on('status', resolve))
    this.opened = new Promise((resolve, reject) => {
      call.on('metadata', (initial) => {
        resolve({
          subscriberId: textOf(initial, 'millrace-subscriber-id'),
          cursor: textOf(initial, 'millrace-cursor'),
        })
      })
      call.on('status', (status) => reject(errorOfCall(status)))
    })
    const cancel = (): void => call.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    call.on('status', () => signal?.removeEventListener('abort', cancel))
  }

  /** Each an encoded SubscribeResponse. Ends when the server has ended the call; throws the error with which it did. */
  async *messages(): AsyncGenerator<Buffer, void, undefined> {
    try {
      for await (const bytes of this.#call) yield bytes as Buffer
    } catch (thrown) {
      // An error of the call is that of its status.
      if (!(thrown instanceof Error && 'details' in thrown)) throw thrown
    }
    const status = await this.#status
    if (status.code !== grpcStatus.OK) throw errorOfCall(status)
  }

  /** Idempotent. */
  cancel(): void {
    this.#call.cancel()
  }
}

function textOf(metadata: Metadata, name: string): string {
  return metadata.get(name)[0]?.toString() ?? ''
}
