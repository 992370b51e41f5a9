// Starts the gRPC and HTTP servers for one pipeline, and stops them together.

import type { Role } from '../config/config-table.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import type { Health } from '../telemetry/health.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Access, type AccessControl } from './access.ts'
import { ConnectionLimits } from './connection-limits.ts'
import { startGrpcServer } from './grpc/grpc-server.ts'
import { startHttpServer } from './http/http-server.ts'
import { InflateBudget } from './inflate-budget.ts'
import type { ServerCertificate } from './server-certificate.ts'

export interface ApiOptions {
  readonly pipeline: Pipeline
  readonly health: Health
  readonly metrics: Metrics
  readonly logger: Logger
  readonly host: string
  readonly allowedHosts?: readonly string[]
  readonly connectionsMax?: number
  readonly connectionsPerAddressMax?: number
  readonly corsOrigins?: readonly string[]
  readonly basePath?: string
  /** Whether callers need a key. Default false. */
  readonly needsKeys?: boolean
  /** Default: by the keys of the pipeline. */
  readonly access?: AccessControl
  /** 0 for any free port. */
  readonly httpPort: number
  readonly grpcPort: number
  /** gRPC is served with `ingest` only; HTTP with `ingest` and `gateway`, else only status, health, metrics and version. */
  readonly roles: readonly Role[]
  readonly version: string
  /** Default null: no TLS. */
  readonly certificate?: ServerCertificate | null
}

export interface Api {
  /** The bound address, for example `127.0.0.1:8080`. */
  readonly http: string
  /** Null when there is no gRPC server. */
  readonly grpc: string | null
  /**
   * Stops both: accepts nothing new, answers what was received, ends streams with `draining`, and force-closes
   * connections still open at the deadline. Call `Health.startDraining` before. Idempotent.
   */
  drain(deadlineMs: number): Promise<void>
}

/** @throws MillraceError `failed_precondition` naming MILLRACE_HTTP_PORT, MILLRACE_GRPC_PORT or MILLRACE_HOST. */
export async function startApi(options: ApiOptions): Promise<Api> {
  const connectionLimits = new ConnectionLimits({
    maxTotal: options.connectionsMax,
    maxPerAddress: options.connectionsPerAddressMax,
  })
  const { roles, pipeline, needsKeys = false, access = new Access(pipeline, needsKeys) } = options
  const takesCalls = roles.includes('ingest') || roles.includes('gateway')
  const shared = { ...options, connectionLimits, access, inflateBudget: new InflateBudget() }
  const grpc = roles.includes('ingest') ? await startGrpcServer({ ...shared, port: options.grpcPort }) : null
  try {
    const http = await startHttpServer({ ...shared, port: options.httpPort, takesCalls })
    let drained: Promise<void> | undefined
    const drain = async (deadlineMs: number) => {
      await Promise.all([grpc?.drain(deadlineMs), http.drain(deadlineMs)])
    }
    return {
      http: http.address,
      grpc: grpc?.address ?? null,
      drain: (deadlineMs) => {
        drained ??= drain(deadlineMs)
        return drained
      },
    }
  } catch (error) {
    await grpc?.drain(0)
    throw error
  }
}
