// The handlers of a service, made once for each pipeline: that of the server, and those of callers with narrower keys.

import type { Metadata, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import type { Caller } from '../access.ts'

/** The caller of each call, by the metadata that its handler gets. */
export type Callers = WeakMap<Metadata, Caller>

type Handler = (call: { readonly metadata: Metadata }, callback: unknown) => void

/** Handlers that call those of their caller's pipeline. */
export function perCaller(
  callers: Callers,
  pipeline: Pipeline,
  make: (pipeline: Pipeline) => UntypedServiceImplementation,
): UntypedServiceImplementation {
  const made = new WeakMap<Pipeline, UntypedServiceImplementation>()
  const handlersOf = (each: Pipeline) => {
    const known = made.get(each) ?? make(each)
    made.set(each, known)
    return known
  }
  const handle =
    (name: string): Handler =>
    (call, callback) => {
      const handler = handlersOf(callers.get(call.metadata)!.pipeline)[name] as unknown as Handler
      handler(call, callback)
    }
  return Object.fromEntries(
    Object.keys(handlersOf(pipeline)).map((name) => [name, handle(name)]),
  ) as unknown as UntypedServiceImplementation
}
