// W7: idle workers outside the server: the memory that each of them takes there, and the CPU time of the server.

import { setTimeout as sleep } from 'node:timers/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { ConsumeRequestSchema, ConsumeResponseSchema } from '../../src/gen/millrace/v1/work_pb.ts'
import { runBlock } from '../block.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface IdleWorkersOptions {
  readonly workers: number
  readonly workersPerConnection: number
  /** How long the CPU time is measured. */
  readonly seconds: number
}

const join = toBinary(ConsumeRequestSchema, create(ConsumeRequestSchema, { join: { group: 'idle', maxInFlight: 16 } }))
const channelOptions = { 'grpc.use_local_subchannel_pool': 1, 'grpc.keepalive_time_ms': 20_000 }
/** How many join at once. */
const joining = 50
const settleMs = 3000

await runBlock(({ workers, workersPerConnection, seconds }: IdleWorkersOptions) =>
  withTempDirectory(async (directory) => {
    // Else most of it would be what the joins have left for the garbage collector.
    const service = await startService(directory, {}, ['--max-semi-space-size=1'])
    const clients: Client[] = []
    const calls: ReturnType<typeof joinWith>[] = []
    const join = async (count: number) => {
      for (const until = calls.length + count; calls.length < until; ) {
        if (calls.length % workersPerConnection === 0)
          clients.push(new Client(service.address, credentials.createInsecure(), channelOptions))
        calls.push(joinWith(clients.at(-1)!))
        if (calls.length % joining === 0) await Promise.all(calls.slice(-joining).map(({ joined }) => joined))
      }
      await Promise.all(calls.map(({ joined }) => joined))
      await sleep(settleMs)
    }
    // The first ones make what all of them share.
    await join(workers / 10)
    const rssBytes = service.rssBytes
    await join((9 * workers) / 10)
    const kibibytesEach = (service.rssBytes - rssBytes) / ((9 * workers) / 10) / 1024
    const cpuBefore = cpuSecondsOf(service.pid)
    const startMs = performance.now()
    await sleep(seconds * 1000)
    const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
    const cpuPercent = (100 * serviceCpuSeconds) / ((performance.now() - startMs) / 1000)
    for (const { call } of calls) call.cancel()
    for (const client of clients) client.close()
    await service.stop()
    return {
      ...{ events: workers, seconds, serviceCpuSeconds, durability: 'none' as const, problems: [] },
      details: { kibibytesEach, cpuPercent },
    }
  }),
)

function joinWith(client: Client) {
  const call = client.makeBidiStreamRequest<Buffer, unknown>(
    '/millrace.v1.WorkService/Consume',
    (bytes) => bytes,
    (bytes) => fromBinary(ConsumeResponseSchema, bytes),
    new Metadata(),
  )
  const joined = new Promise((resolve, reject) => call.once('data', resolve).on('error', reject))
  joined.catch(() => {})
  call.write(Buffer.from(join))
  return { call, joined }
}
