// One unary call, made again where it certainly did not start.

import type { Client as GrpcClient, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { wasTurnedAway } from './grpc-errors.ts'
import type { ServerConnection } from './server-connection.ts'
import { inTime, unaryCall } from './unary-call.ts'

/** How often one call is made again after a refusal by a stopping server. */
const maxRefusals = 3

export interface SentCall<Response> {
  /** As in Rpc. */
  readonly path: string
  readonly request: Buffer
  readonly decode: (bytes: Buffer) => Response
  /** Timeout with the time to connect, in milliseconds. */
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
  readonly metadata?: Metadata | undefined
}

export async function resentCall<Response>(
  connection: ServerConnection,
  { path, request, decode, deadlineMs, signal, metadata }: SentCall<Response>,
): Promise<Response> {
  const limits = { deadline: Date.now() + deadlineMs, signal, metadata }
  for (let refusals = 0; ; refusals++) {
    const client = await inTime(connection.open(), limits)
    try {
      return await unaryCall(client, path, request, decode, limits)
    } catch (error) {
      dropAfter(connection, client, error)
      if (!wasTurnedAway(error) || refusals === maxRefusals) throw error
    }
  }
}

/** Drops the connection after an error that another address may not have. */
export function dropAfter(connection: ServerConnection, client: GrpcClient, error: unknown): void {
  if (error instanceof MillraceError && (error.code === 'unavailable' || error.code === 'draining')) {
    connection.drop(client)
  }
}
