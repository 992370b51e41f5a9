// The HTTP server: its limits, the answers to failed requests, and its shutdown. The routes are in their own files.

import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { hostname } from 'node:os'
import type { Server as TlsServer } from 'node:tls'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import type { Health } from '../../telemetry/health.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { Access, type AccessControl, type Caller } from '../access.ts'
import type { ConnectionLimits } from '../connection-limits.ts'
import { Handshakes, peerOf } from '../handshakes.ts'
import { InflateBudget } from '../inflate-budget.ts'
import { listen } from '../listen.ts'
import { OpenCalls } from '../open-calls.ts'
import { requestIdOf } from '../request-context.ts'
import type { RunningServer } from '../running-server.ts'
import { needOf } from '../scopes.ts'
import type { ServerCertificate } from '../server-certificate.ts'
import { addAgentRoutes } from './agent-routes.ts'
import { authorize, challengeOf } from './authorize.ts'
import { prefixOf, withoutBasePath } from './base-path.ts'
import { decodeBody } from './content-encoding.ts'
import { addPreflightRoute, allowOrigin } from './cross-origin.ts'
import { addDeadLetterRoutes } from './dead-letter-routes.ts'
import { addDocsRoutes } from './docs-routes.ts'
import { answerBeforeContinue, isBodyHeldBack } from './expect-continue.ts'
import { addFileRoutes } from './file-routes.ts'
import { addFindRoute } from './find-route.ts'
import { refuseForeignSite } from './foreign-site.ts'
import { addGroupRoutes } from './group-routes.ts'
import { defaultTimes, type HttpTimes } from './http-times.ts'
import { keepIdempotentAnswers } from './idempotency-key.ts'
import { addJourneyRoute } from './journey-route.ts'
import { addKeyRoutes } from './key-routes.ts'
import { addListRoute } from './list-route.ts'
import { addLiveRoute } from './live-route.ts'
import { answerMalformed, answerPlain } from './malformed.ts'
import { OpenRequests } from './open-requests.ts'
import { addOperationsRoutes } from './operations-routes.ts'
import { PageSender } from './page-sender.ts'
import { problemOf, problemOfThrown, sendProblem } from './problem.ts'
import { addPublishRoute } from './publish-route.ts'
import { rateLimitHeaders } from './rate-limit-headers.ts'
import { addReplayRoute } from './replay-route.ts'
import { logRequest } from './request-log.ts'
import { addRequestRoutes } from './request-routes.ts'
import { addSessionRoutes } from './session-routes.ts'
import { addStatusRoutes } from './status-routes.ts'
import { addSubscriberRoute } from './subscriber-route.ts'
import { addWorkerRoute } from './worker-route.ts'

export interface HttpServerOptions {
  readonly pipeline: Pipeline
  /** Default: callers need no key. */
  readonly access?: AccessControl
  readonly health: Health
  readonly metrics: Metrics
  readonly logger: Logger
  readonly host: string
  /** Further host names by which requests may call this server. Default none. */
  readonly allowedHosts?: readonly string[]
  /** The path under which a proxy serves this server. Default `/`. */
  readonly basePath?: string
  /** Origins whose pages may call. Default none. */
  readonly corsOrigins?: readonly string[]
  readonly port: number
  readonly version: string
  readonly connectionLimits: ConnectionLimits
  /** Shared with gRPC. Default: one of its own. */
  readonly inflateBudget?: InflateBudget
  /** Default null: no TLS. */
  readonly certificate?: ServerCertificate | null
  readonly times?: Partial<HttpTimes>
  /** False: only status, health, metrics and version. Default true. */
  readonly takesCalls?: boolean
}

const maxHeaderBytes = 16 * 1024

/** Longest id in a path: percent-encoded, each of its bytes can take three characters. */
const maxParamLength = 3 * limits.maxNameBytes
const noSchemas = () => () => {
  throw new Error('no route declares a schema')
}

export interface RunningHttpServer extends RunningServer {
  /** Every route, as in `POST /v1/events`. */
  readonly routes: readonly string[]
}

export async function startHttpServer(options: HttpServerOptions): Promise<RunningHttpServer> {
  const { health, metrics, logger, version, host, port } = options
  const times = { ...defaultTimes, ...options.times }
  const access = options.access ?? new Access(options.pipeline, false)
  let address = ''
  const routes: string[] = []
  const app = createApp({ ...options, access }, times, routes)
  const { maxAnswerMs } = times
  const openCalls = new OpenCalls()
  if (options.corsOrigins !== undefined && options.corsOrigins.length > 0) addPreflightRoute(app)
  if (options.takesCalls ?? true) {
    addPublishRoute(app, {
      publishDuration: metrics.publishDuration.with({ transport: 'http' }),
      openCalls,
      times,
    })
    const pages = new PageSender(times)
    addListRoute(app, pages)
    addLiveRoute(app, openCalls, times)
    addSubscriberRoute(app, pages, maxAnswerMs)
    addJourneyRoute(app, maxAnswerMs)
    addDeadLetterRoutes(app, pages, times)
    addGroupRoutes(app, times)
    addFindRoute(app, maxAnswerMs)
    addReplayRoute(app, times)
    addWorkerRoute(app, maxAnswerMs)
    addAgentRoutes(app, pages, times)
    addFileRoutes(app, times)
    addRequestRoutes(app, times)
    addKeyRoutes(app, access, pages, times)
    addSessionRoutes(app, { access, times, isEncrypted: options.certificate != null })
  }
  const scheme = options.certificate == null ? 'http' : 'https'
  const url = () => `${scheme}://${address}`
  addStatusRoutes(app, openCalls, times)
  addDocsRoutes(app, version)
  addOperationsRoutes(app, { health, metrics, version, needsKeys: access.needsKeys, url })
  await app.ready()
  const { server } = app
  const silent = limitConnections(server, options)
  address = await listen(server, { host, port, variable: 'MILLRACE_HTTP_PORT', logger })
  return {
    address,
    routes,
    drain: async (deadlineMs) => {
      const forced = setTimeout(() => server.closeAllConnections(), deadlineMs)
      openCalls.drain()
      // Closes idle connections too; answers sent from now on have `connection: close`.
      const closed = app.close()
      // A connection without a request counts as busy for close(), and no timeout applies to it any more.
      for (const socket of silent.values()) socket.destroy()
      await closed
      clearTimeout(forced)
    },
  }
}

/** @param routes gets those that are added. */
function createApp(
  options: HttpServerOptions & { readonly access: AccessControl },
  times: HttpTimes,
  routes: string[],
): FastifyInstance {
  const { access, health, logger, host, allowedHosts = [], corsOrigins = [], certificate = null } = options
  const { inflateBudget = new InflateBudget() } = options
  const basePath = options.basePath === undefined || options.basePath === '/' ? '' : options.basePath
  const names = new Set([host, hostname(), ...allowedHosts].map((name) => name.toLowerCase()))
  const site = { names: access.needsKeys ? null : names, origins: new Set(corsOrigins) }
  const http = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: times.maxHeadersMs,
    // Bodies have their timeouts where they are read: NDJSON has no total limit.
    requestTimeout: 0,
    connectionsCheckingInterval: times.checkEveryMs,
    // Checked below, so that its absence is answered with a problem.
    requireHostHeader: false,
  }
  const https = certificate && { ...http, ...certificate.tlsOptions, handshakeTimeout: times.maxHeadersMs }
  const app = fastify({
    ...(https === null ? { http } : { https }),
    routerOptions: { maxParamLength },
    ...(basePath === ''
      ? {}
      : { rewriteUrl: ({ url = '' }: { url?: string | undefined }) => withoutBasePath(url, basePath) }),
    // No route declares a schema: with these, fastify does not load its schema compilers, a tenth of its modules.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    logger: false,
    requestIdHeader: false,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']?.toString()),
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => {
      if (handshakes?.has(socket) !== true) answerMalformed(error, socket, openRequests, logger)
    },
    frameworkErrors: (error, _request, reply) => {
      sendProblem(reply as unknown as FastifyReply, problemOfThrown(error))
    },
  })
  const handshakes = certificate === null ? null : speakTls(app.server as unknown as TlsServer, certificate, logger)
  const openRequests = new OpenRequests(app.server)
  answerBeforeContinue(app.server)
  // A client may end its side of the connection behind its request, as `nc -N` does, and read the answer.
  Object.assign(app.server, { httpAllowHalfOpen: true })
  app.decorateReply('failure', null)
  app.decorateRequest('caller')
  app.decorateRequest('prefix', '')
  app.decorateRequest('onEndedKey', () => {})
  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) {
      const call = `${method} ${route.url}`
      routes.push(call)
      route.config = { ...route.config, need: needOf(call) }
    }
  })
  // Every body is a stream until a route reads it; fastify reads none.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.addHook('onRequest', async (request, reply) => {
    request.prefix = prefixOf(request.headers, basePath)
    reply.headers({ 'x-request-id': request.id, 'x-content-type-options': 'nosniff' })
    if (request.raw.httpVersion === '1.1' && request.headers.host === undefined) {
      throw new MillraceError('invalid_event', 'the header host is missing', { field: 'host' })
    }
    // By the route, not by the path, which may be percent-encoded. Probes may call the other routes by any name.
    if (request.routeOptions.url?.startsWith('/v1/')) {
      refuseForeignSite(request.headers, site)
      allowOrigin(request.headers.origin, reply, site.origins)
    }
    await authorize(access, request, reply)
    decodeBody(request, reply, inflateBudget)
  })
  // Checked when answering: the request may have arrived before the server began to stop.
  app.addHook('onSend', async (request, reply) => {
    const isLast = health.draining || !app.server.listening || openRequests.isBroken(request.raw.socket)
    const { rate } = (request.caller as Caller | undefined) ?? {}
    if (rate !== undefined && request.routeOptions.config.need === 'publish') {
      reply.headers(rateLimitHeaders(rate, reply.statusCode === 429))
    }
    if (isLast || isBodyHeldBack(request.raw)) reply.header('connection', 'close')
    const { statusCode: status, failure: error } = reply
    if (error !== null) reply.headers(challengeOf(request, { status, error }))
  })
  keepIdempotentAnswers(app, times)
  app.addHook('onResponse', async (request, reply) => {
    endUnreadBody(request, times.maxLingerMs)
    note(request, reply, options)
  })
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, problemOfThrown(error)))
  app.setNotFoundHandler((request, reply) => answerUnknownRoute(app, request, reply))
  return app
}

/** Renews the certificate of the server, and says what becomes of failed handshakes. */
function speakTls(server: TlsServer, certificate: ServerCertificate, logger: Logger): Handshakes {
  certificate.renew(server)
  return new Handshakes(server, { transport: 'http', logger, answerPlain })
}

/** The answer can be sent before the body ends. The rest of the body is discarded, for at most `maxLingerMs`. */
function endUnreadBody({ raw }: FastifyRequest, maxLingerMs: number): void {
  if (raw.complete) return
  raw.resume()
  const timer = setTimeout(() => raw.socket.destroy(), maxLingerMs)
  raw.once('close', () => clearTimeout(timer))
}

function note(request: FastifyRequest, reply: FastifyReply, { metrics, logger }: HttpServerOptions): void {
  const { method } = request
  const route = request.routeOptions.url ?? 'unknown'
  const status = reply.statusCode
  metrics.httpRequestDuration.observe(reply.elapsedTime / 1000, { method, route, status: String(status) })
  logRequest(request, reply, logger)
}

function answerUnknownRoute(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?', 1)[0] as string
  const allowed = ['GET', 'HEAD', 'POST', 'DELETE'].filter((method) => app.hasRoute({ method, url: path }))
  if (allowed.length === 0) {
    return sendProblem(reply, problemOf(new MillraceError('not_found', `there is no route ${path.slice(0, 200)}`)))
  }
  const allow = allowed.join(', ')
  const error = new MillraceError('unimplemented', `${request.method} is not allowed for this route; use ${allow}`)
  return sendProblem(reply, { status: 405, error, headers: { allow } })
}

/** Returns the connections that have not made a request yet, by peer; the map is kept up to date. */
function limitConnections(
  server: Server,
  { connectionLimits, metrics }: HttpServerOptions,
): ReadonlyMap<string, Socket> {
  const open = metrics.openConnections.with({ transport: 'http' })
  const silent = new Map<string, Socket>()
  let count = 0
  open.set(0)
  server.on('connection', (socket) => {
    if (!connectionLimits.admit(socket)) return
    open.set(++count)
    const peer = peerOf(socket)
    silent.set(peer, socket)
    socket.once('close', () => {
      open.set(--count)
      silent.delete(peer)
    })
  })
  server.on('request', ({ socket }) => silent.delete(peerOf(socket)))
  return silent
}
