// WatchStatus: sends the status at each interval, until the caller ends the call or the server stops.
//
// A caller that reads slowly gets fewer answers, not older ones: the next status is read only when there is room for
// it.

import { once } from 'node:events'
import type { Message } from '@bufbuild/protobuf'
import type { ServerWritableStream } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import type { WatchStatusRequest } from '../../gen/millrace/v1/admin_pb.ts'
import { sleep } from '../../lib/abort.ts'
import { watchIntervalMs } from '../../pipeline/observations.ts'
import { millisecondsOf } from '../../wire/durations.ts'
import { richStatusOf } from './rich-status.ts'

type WatchCall = ServerWritableStream<WatchStatusRequest, Message>

export function watchStatus(answer: () => Promise<Message>): (call: WatchCall) => void {
  return (call) => {
    const ended = new AbortController()
    call.on('cancelled', () => ended.abort())
    watch(call, answer, ended.signal).catch((thrown: unknown) => {
      if (!ended.signal.aborted) call.emit('error', richStatusOf(toMillraceError(thrown)))
    })
  }
}

async function watch(call: WatchCall, answer: () => Promise<Message>, signal: AbortSignal): Promise<void> {
  const intervalMs = intervalOf(call.request)
  while (!signal.aborted) {
    const next = sleep(intervalMs, signal)
    const response = await answer()
    if (signal.aborted) return
    if (!call.write(response)) await once(call, 'drain', { signal })
    await next
  }
}

/** Throws `invalid_event` when the interval is out of range. */
function intervalOf({ interval }: WatchStatusRequest): number {
  if (interval === undefined) return watchIntervalMs.default
  const { min, max } = watchIntervalMs
  const asked = millisecondsOf(interval)
  if (asked >= min && asked <= max) return asked
  const problem = `interval is ${asked / 1000} s; it must be from ${min / 1000} s to ${max / 1000} s`
  throw new MillraceError('invalid_event', problem, { field: 'interval' })
}
