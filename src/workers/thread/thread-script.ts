// The thread of a handler: imports the handler's module again, and calls the handler for the process.

import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { describeError } from '../../telemetry/describe-error.ts'
import { AttemptAbort } from '../attempt-abort.ts'
import { callHandler } from '../call-handler.ts'
import {
  type HandlerContext,
  type HandlerDefinition,
  type HandlerModule,
  isHandlerDefinition,
} from '../define-handler.ts'
import { fileReader } from '../file-reader.ts'
import { withReaders } from '../handled-event.ts'
import type { PublishMessageTo } from '../publish-events.ts'
import {
  type FromThread,
  type Line,
  type LineLevel,
  type ThreadData,
  type ToThread,
  toError,
} from './thread-messages.ts'

const port = parentPort!
const post = (message: FromThread) => port.postMessage(message)

const { module, filesDir } = workerData as ThreadData
const loaded = await load(module).catch((thrown: unknown) => {
  post({ is: 'unusable', reason: thrown instanceof Error ? thrown.message : inspect(thrown) })
})
if (loaded !== undefined) serve(loaded)

async function load({ url, exportName }: HandlerModule): Promise<HandlerDefinition> {
  const exported = (await import(url)) as Readonly<Record<string, unknown>>
  const handler = exported[exportName]
  if (!isHandlerDefinition(handler)) throw new Error(`in a thread it exports no handler as ${exportName}`)
  return handler
}

function serve(handler: HandlerDefinition): void {
  const aborts = new Map<number, AttemptAbort>()
  const callOf = new WeakMap<AttemptAbort, number>()
  const { publish, published } = publisher((abort) => callOf.get(abort)!)
  const attempt = callHandler(handler, { publish, file: fileReader(filesDir), now: Date.now })

  const run = async ({ call, attempt: number, trace, events }: ToThread & { readonly is: 'call' }) => {
    const abort = new AttemptAbort()
    aborts.set(call, abort)
    callOf.set(abort, call)
    // Before the handler runs: it may never let this thread say anything again.
    post({ is: 'begun', call })
    const progress = () => post({ is: 'progress', call })
    const { ends } = await attempt(events.map(withReaders), {
      ...{ attempt: number, trace, abort, progress },
      logger: () => loggerOf(call),
    })
    aborts.delete(call)
    post({ is: 'ended', call, ends })
  }

  port.on('message', (message: ToThread) => {
    if (message.is === 'call') void run(message)
    else if (message.is === 'abort') aborts.get(message.call)?.abort(message.reason)
    else published(message)
  })
  post({ is: 'ready' })
}

/** Publishes through the process. */
function publisher(callOf: (abort: AttemptAbort) => number) {
  const waiting = new Map<number, PromiseWithResolvers<void>>()
  let last = 0
  const publish: PublishMessageTo = (topic, message, abort) => {
    const number = ++last
    const published = Promise.withResolvers<void>()
    waiting.set(number, published)
    post({ is: 'publish', call: callOf(abort!), number, topic, message })
    return published.promise
  }
  const published = ({ number, error }: ToThread & { readonly is: 'published' }) => {
    const { resolve, reject } = waiting.get(number)!
    waiting.delete(number)
    if (error === null) resolve()
    else reject(toError(error))
  }
  return { publish, published }
}

function loggerOf(call: number): HandlerContext['logger'] {
  const method =
    (level: LineLevel) =>
    (...[first, text]: readonly [fields: object, message: string] | readonly [message: string]) => {
      const line: Line = typeof first === 'string' ? [first] : [plainFields(first), text ?? '']
      post({ is: 'line', call, level, line })
    }
  return { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') }
}

function plainFields(fields: object): object {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plain(value)]))
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return describeError(value)
  try {
    return structuredClone(value)
  } catch {
    return inspect(value)
  }
}
