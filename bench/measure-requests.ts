// The measured part of W5, the same for product, floor and peer: unary calls of RequestService.Request that are answered
// with their own data, one at a time and then many at once.
//
// Both are closed loops: a caller sends its next request when it has the answer. With one in flight the latency is that of
// an idle server; with many the rate is what is measured, and latencies mean nothing.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import {
  type RequestRequest,
  RequestRequestSchema,
  type RequestResponse,
  RequestResponseSchema,
} from '../src/gen/millrace/v1/request_pb.ts'
import type { BlockResult } from './block.ts'
import { cpuSecondsOf } from './process-usage.ts'
import { quantile } from './statistics.ts'

export interface RequestOptions {
  /** Length of each request's JSON. */
  readonly requestBytes: number
  readonly inFlight: number
  readonly warmSeconds: number
  readonly seconds: number
}

export interface MeasuredRequests extends Pick<BlockResult, 'events' | 'seconds' | 'serviceCpuSeconds'> {
  /** All requests sent, including the warm-up. */
  readonly requestsInAll: number
  readonly problems: string[]
  readonly details: Record<string, number>
}

export const requestType = 'bench.echo'

/** @param cpuSeconds CPU seconds used so far by the service and its stores; left out: of the service's process only. */
export async function measureRequests(
  service: { readonly address: string; readonly pid: number },
  { requestBytes, inFlight, warmSeconds, seconds }: RequestOptions,
  cpuSeconds: () => number = () => cpuSecondsOf(service.pid),
): Promise<MeasuredRequests> {
  const client = new grpc.Client(service.address, grpc.credentials.createInsecure())
  let sent = 0
  let wrong = 0
  /** Latencies in milliseconds. */
  const callFor = async (callers: number, duration: number): Promise<number[]> => {
    const endMs = performance.now() + duration * 1000
    const latencies: number[] = []
    const callUntilEnd = async () => {
      while (performance.now() < endMs) {
        const data = requestData(++sent, requestBytes)
        const startMs = performance.now()
        const reply = await request(client, data)
        latencies.push(performance.now() - startMs)
        if (!data.equals(reply.data)) wrong++
      }
    }
    await Promise.all(Array.from({ length: callers }, callUntilEnd))
    return latencies
  }
  try {
    await callFor(inFlight, warmSeconds)
    const alone = await callFor(1, seconds / 2)
    const [startMs, cpuBefore, ownCpuBefore] = [performance.now(), cpuSeconds(), cpuSecondsOf(process.pid)]
    const { length } = await callFor(inFlight, seconds)
    return {
      events: length,
      seconds: (performance.now() - startMs) / 1000,
      serviceCpuSeconds: cpuSeconds() - cpuBefore,
      requestsInAll: sent,
      problems: wrong === 0 ? [] : [`${wrong} of ${sent} replies are not the data of their request`],
      details: {
        inFlight,
        aloneP50Ms: quantile(alone, 0.5),
        aloneP99Ms: quantile(alone, 0.99),
        generatorCpuSeconds: cpuSecondsOf(process.pid) - ownCpuBefore,
      },
    }
  } finally {
    client.close()
  }
}

/** JSON that stays the same when it is parsed and written again. */
function requestData(number: number, bytes: number): Buffer {
  const start = `{"n":${number},"text":"`
  return Buffer.from(`${start}${'.'.repeat(bytes - start.length - 2)}"}`)
}

function request(client: grpc.Client, data: Uint8Array): Promise<RequestResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<RequestResponse>()
  client.makeUnaryRequest(
    '/millrace.v1.RequestService/Request',
    (message: RequestRequest) => Buffer.from(toBinary(RequestRequestSchema, message)),
    (bytes) => fromBinary(RequestResponseSchema, bytes),
    create(RequestRequestSchema, { type: requestType, data }),
    (error, response) => (response === undefined ? reject(error) : resolve(response)),
  )
  return promise
}
