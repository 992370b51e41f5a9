// A server for the client's tests: IngestService on grpc-js behind a proxy, with faults on command.
//
// It keeps events as a log would: in the order of acceptance, and each sequence of a producer at most once.

import { connect as connectSocket, createServer, type Socket, type Server as SocketServer } from 'node:net'
import type { TestContext } from 'node:test'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js'
import {
  type ProduceRequest,
  ProduceRequestSchema,
  ProduceResponseSchema,
  type PublishRequest,
  PublishRequestSchema,
  PublishResponseSchema,
} from '../gen/millrace/v1/ingest_pb.ts'

export interface Status {
  readonly code: number
  readonly details: string
  readonly metadata?: Metadata
}

/** What the server does with a Produce message. The first three keep its events, `hold` keeps them later. */
export type Reaction =
  | { readonly kind: 'accept' }
  /** Keeps the events and sends no answer. */
  | { readonly kind: 'keep silent' }
  | { readonly kind: 'accept then cut' }
  | { readonly kind: 'cut' }
  | { readonly kind: 'end'; readonly status: Status | null }
  /** Answers with this response, with `ackedThrough` set; the events are not kept. */
  | { readonly kind: 'answer'; readonly response: MessageInitShape<typeof ProduceResponseSchema> }
  /** Neither reads nor answers until then, like a server that waits for room. */
  | { readonly kind: 'hold'; readonly until: Promise<void> }

export interface ReceivedMessage {
  readonly producerId: string
  readonly sequence: number
  readonly eventIds: readonly string[]
  readonly bytes: Buffer
  readonly request: ProduceRequest
}

type ProduceCall = ServerDuplexStream<Buffer, Buffer>

export class IngestServer {
  /** Every message received, resends included. */
  readonly received: ReceivedMessage[] = []
  /** The ids of the kept events, in order. */
  readonly keptIds: string[] = []
  readonly published: PublishRequest[] = []
  /** What each call has sent as `authorization`. */
  readonly authorizations: (string | undefined)[] = []
  /** How many Produce calls were started. */
  callCount = 0
  decide: (message: ReceivedMessage) => Reaction = () => ({ kind: 'accept' })
  answerPublish: (request: PublishRequest) => MessageInitShape<typeof PublishResponseSchema> | Status = () => ({})
  readonly #keptSequences = new Set<string>()
  readonly #sockets = new Set<Socket>()
  #grpc: Server | null = null
  #grpcPort = 0
  #proxy: SocketServer | null = null
  #port = 0

  /** Starts a server that is stopped when the test ends. */
  static async start(t: TestContext): Promise<IngestServer> {
    const server = new IngestServer()
    await server.listen()
    t.after(() => server.stop())
    return server
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Listens; after stop() on the same port and with the kept events. */
  async listen(): Promise<void> {
    const grpc = new Server()
    grpc.addService(definition, {
      produce: (call: ProduceCall) => {
        this.#noteAuthorization(call.metadata)
        this.#produce(call)
      },
      publish: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        this.#noteAuthorization(call.metadata)
        this.#publish(call, callback)
      },
    })
    this.#grpcPort = await new Promise<number>((resolve, reject) => {
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
    this.#grpc = grpc
    const proxy = createServer((incoming) => this.#forward(incoming))
    await new Promise<void>((resolve) => proxy.listen(this.#port, '127.0.0.1', resolve))
    this.#proxy = proxy
    const address = proxy.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }

  #noteAuthorization(metadata: Metadata): void {
    this.authorizations.push(metadata.get('authorization')[0]?.toString())
  }

  /** Stops like a killed process: every connection is reset, the port is closed. */
  async stop(): Promise<void> {
    const proxy = this.#proxy
    this.#proxy = null
    const closed = new Promise((resolve) => (proxy === null ? resolve(null) : proxy.close(resolve)))
    this.cutConnections()
    this.#grpc?.forceShutdown()
    this.#grpc = null
    await closed
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #forward(incoming: Socket): void {
    const outgoing = connectSocket(this.#grpcPort, '127.0.0.1')
    for (const socket of [incoming, outgoing]) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        incoming.destroy()
        outgoing.destroy()
      })
    }
    incoming.pipe(outgoing).pipe(incoming)
  }

  #produce(call: ProduceCall): void {
    this.callCount++
    let producerId = ''
    let isOver = false
    call.on('error', () => {})
    call.on('data', (bytes: Buffer) => {
      const request = fromBinary(ProduceRequestSchema, bytes)
      producerId ||= request.producerId
      const message = {
        producerId,
        sequence: Number(request.sequence),
        eventIds: request.events.map((event) => event.id),
        bytes,
        request,
      }
      // As in the real server: after a message that was not kept, no later message of the call is, or it would overtake
      // the resend.
      if (isOver) return
      this.received.push(message)
      const reaction = this.decide(message)
      isOver = reaction.kind === 'cut' || reaction.kind === 'accept then cut' || reaction.kind === 'end'
      this.#react(reaction, message, call)
    })
    call.on('end', () => call.end())
  }

  #react(reaction: Reaction, message: ReceivedMessage, call: ProduceCall): void {
    switch (reaction.kind) {
      case 'accept':
        this.#keep(message)
        acknowledge(call, message)
        break
      case 'keep silent':
        this.#keep(message)
        break
      case 'accept then cut':
        this.#keep(message)
        this.cutConnections()
        break
      case 'cut':
        this.cutConnections()
        break
      case 'end':
        if (reaction.status === null) call.end()
        else call.emit('error', reaction.status)
        break
      case 'answer':
        acknowledge(call, message, reaction.response)
        break
      case 'hold':
        call.pause()
        reaction.until.then(() => {
          this.#keep(message)
          acknowledge(call, message)
          call.resume()
        })
    }
  }

  #keep({ producerId, sequence, eventIds }: ReceivedMessage): void {
    const name = `${producerId} ${sequence}`
    if (this.#keptSequences.has(name)) return
    this.#keptSequences.add(name)
    this.keptIds.push(...eventIds)
  }

  #publish(call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void {
    const request = fromBinary(PublishRequestSchema, call.request)
    this.published.push(request)
    const answer = this.answerPublish(request)
    if ('code' in answer) callback(answer as Status)
    else callback(null, Buffer.from(toBinary(PublishResponseSchema, create(PublishResponseSchema, answer as object))))
  }
}

function acknowledge(
  call: ProduceCall,
  { sequence }: ReceivedMessage,
  response: MessageInitShape<typeof ProduceResponseSchema> = {},
): void {
  const full = create(ProduceResponseSchema, { ackedThrough: BigInt(sequence), durability: 3, ...response })
  call.write(Buffer.from(toBinary(ProduceResponseSchema, full)))
}

const asIs = (bytes: Buffer): Buffer => bytes
const raw = {
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
}
const definition = {
  produce: { path: '/millrace.v1.IngestService/Produce', requestStream: true, responseStream: true, ...raw },
  publish: { path: '/millrace.v1.IngestService/Publish', requestStream: false, responseStream: false, ...raw },
}
