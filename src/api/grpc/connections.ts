// The connections of the gRPC server, and their limits.
//
// Job: accept sockets and pass them to grpc-js, with limits that grpc-js lacks: the number of connections, the silence
// before the first request, the rate of pings. Speak TLS. Raise the HTTP/2 windows. Mark requests in an unknown encoding.
// Not its job: keepalive, idle time and streams per connection (options of grpc-js, grpc-server.ts).

import {
  constants,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { type ConnectionInjector, type Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import type { Logger } from '../../telemetry/logger.ts'
import type { GaugeSeries } from '../../telemetry/metric-family.ts'
import type { ConnectionLimits } from '../connection-limits.ts'
import { Handshakes, peerOf } from '../handshakes.ts'
import type { ServerCertificate } from '../server-certificate.ts'
import { messageEncodings } from './compressed-messages.ts'
import { PingAllowance } from './ping-allowance.ts'

/**
 * grpc-js leaves both windows at 64 KB, which limits a producer to 64 KB per round trip. A stream's window is half of
 * its connection's. (At 50 ms and 100 events per message: 3.8k events/s with 64 KB, 38k with 1 MiB per stream, 208k
 * with 6 MiB, 365k with 12 MiB.) An unread connection can hold a full window in memory, so many connections get less
 * each.
 */
const maxConnectionWindowBytes = 24 * 1024 * 1024
const minConnectionWindowBytes = 1024 * 1024
const windowBudgetBytes = 256 * 1024 * 1024

/** Passes the name of the encoding to the call guard, because grpc-js does not pass on the header. */
export const refusedEncodingHeader = 'millrace-refused-encoding'

export interface GrpcConnectionOptions {
  readonly limits: ConnectionLimits
  readonly open: GaugeSeries
  readonly maxSilentMs: number
  /** Null: no TLS. */
  readonly certificate: ServerCertificate | null
  readonly logger: Logger
}

export class GrpcConnections {
  readonly listener: Server
  readonly #options: GrpcConnectionOptions
  readonly #injector: ConnectionInjector
  readonly #http2Server: Http2Server
  readonly #sockets = new Set<Socket>()
  readonly #pings = new Map<string, PingAllowance>()
  #handshakes: Handshakes | null = null

  constructor(server: GrpcServer, options: GrpcConnectionOptions) {
    this.#options = options
    options.open.set(0)
    this.#injector = server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#http2Server = http2ServerOf(server)
    const { certificate } = options
    this.listener = certificate === null ? this.#listenPlain() : this.#listenTls(certificate)
  }

  /** Resets the ping count of a peer to which a call has sent something. */
  noteAnswer(peer: string): void {
    this.#pings.get(peer)?.reset()
  }

  /** Accepts no more connections; resolves when the last open connection has closed. */
  stopListening(): Promise<void> {
    const allClosed = new Promise<void>((resolve) => this.listener.close(() => resolve()))
    this.#handshakes?.destroyAll()
    return allClosed
  }

  /** Closes all open connections at once. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #listenPlain(): Server {
    return createServer((socket) => {
      if (this.#admit(socket)) this.#serve(socket)
    })
  }

  #listenTls(certificate: ServerCertificate): Server {
    const { maxSilentMs, logger } = this.#options
    const listener = createTlsServer({
      ...certificate.tlsOptions,
      ALPNProtocols: ['h2'],
      handshakeTimeout: maxSilentMs,
    })
    certificate.renew(listener)
    this.#handshakes = new Handshakes(listener, { transport: 'grpc', logger })
    listener.on('connection', (socket) => this.#admit(socket))
    listener.on('secureConnection', (socket) => this.#serveTls(socket))
    return listener
  }

  #serveTls(socket: TLSSocket): void {
    // Node's HTTP/2 server leaves errors of the TLS socket to its user.
    socket.on('error', () => {})
    // Without ALPN, it would not make a session of the connection.
    if (socket.alpnProtocol === 'h2') this.#serve(socket)
    else socket.destroy()
  }

  /** Whether the connection is within the limits; then it is counted until it closes. */
  #admit(socket: Socket): boolean {
    if (!this.#options.limits.admit(socket)) return false
    this.#sockets.add(socket)
    this.#options.open.set(this.#sockets.size)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#options.open.set(this.#sockets.size)
    })
    return true
  }

  #serve(socket: Socket): void {
    const session = this.#injectedSession(socket)
    const silence = setTimeout(() => session.destroy(), this.#options.maxSilentMs)
    const pings = new PingAllowance()
    const peer = peerOf(socket)
    this.#pings.set(peer, pings)
    const countFrame = () => {
      if (pings.take(performance.now()) || session.destroyed) return
      // Without an error argument Node sends NO_ERROR instead of the code.
      session.destroy(new Error('too many pings'), constants.NGHTTP2_ENHANCE_YOUR_CALM)
    }
    session.once('connect', () => raiseWindows(session, this.#sockets.size))
    session.once('stream', () => clearTimeout(silence))
    // Runs before the listener that passes the stream to grpc-js.
    session.prependListener('stream', markUnsupported)
    session.on('ping', countFrame)
    session.on('remoteSettings', countFrame)
    socket.once('close', () => {
      clearTimeout(silence)
      this.#pings.delete(peer)
    })
  }

  #injectedSession(socket: Socket): ServerHttp2Session {
    let session: ServerHttp2Session | undefined
    this.#http2Server.once('session', (made) => {
      session = made
    })
    this.#injector.injectConnection(socket)
    if (session === undefined) throw new Error('grpc-js did not create a session for the connection')
    return session
  }
}

/** Reads a private field of grpc-js. Its version is pinned, and without the field the server fails at its start. */
function http2ServerOf(server: GrpcServer): Http2Server {
  const servers = Reflect.get(server, 'http2Servers') as Map<Http2Server, unknown> | undefined
  const [http2Server] = servers?.keys() ?? []
  if (http2Server === undefined) throw new Error('grpc-js no longer exposes its HTTP/2 server')
  return http2Server
}

function raiseWindows(session: ServerHttp2Session, connections: number): void {
  if (session.destroyed) return
  const share = Math.floor(windowBudgetBytes / connections)
  const windowBytes = Math.max(minConnectionWindowBytes, Math.min(maxConnectionWindowBytes, share))
  session.setLocalWindowSize(windowBytes)
  // Only this key: with all of localSettings the peer ends the connection with a protocol error.
  session.settings({ initialWindowSize: windowBytes >>> 1 })
}

/** Hides an encoding that is not supported from grpc-js, so that the call is refused before a message is read. */
function markUnsupported(_stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const encoding = headers['grpc-encoding']
  delete headers[refusedEncodingHeader]
  if (encoding === undefined || encoding === 'identity') return
  if (messageEncodings.some((each) => each === encoding)) return
  headers[refusedEncodingHeader] = String(encoding)
  delete headers['grpc-encoding']
}
