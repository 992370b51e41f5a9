// A gRPC service whose library is loaded at its first call. Those of health and reflection load protobufjs, which would
// be a tenth of what a server's start costs, and most servers are never asked.

import type { MethodDefinition, Server, UntypedHandleCall } from '@grpc/grpc-js'

type Method = MethodDefinition<unknown, unknown>

export interface LazyMethod extends Pick<Method, 'path' | 'requestStream' | 'responseStream'> {}

interface LoadedMethod {
  readonly method: Method
  readonly handle: UntypedHandleCall
}

/** Adds the methods. At the first call of one of them, `load` adds their services to the server that it gets. */
export function addLazyService(
  server: Server,
  methods: readonly LazyMethod[],
  load: (server: Pick<Server, 'addService'>) => void,
): void {
  let loaded: ReadonlyMap<string, LoadedMethod> | undefined
  for (const lazy of methods) {
    const { path } = lazy
    const here = () => {
      loaded ??= loadMethods(load)
      return loaded.get(path) as LoadedMethod
    }
    const method: Method = {
      ...lazy,
      requestSerialize: (request) => here().method.requestSerialize(request),
      requestDeserialize: (bytes) => here().method.requestDeserialize(bytes),
      responseSerialize: (response) => here().method.responseSerialize(response),
      responseDeserialize: (bytes) => here().method.responseDeserialize(bytes),
    }
    const handle = (...call: unknown[]) => (here().handle as (...call: unknown[]) => void)(...call)
    server.addService({ [path]: method }, { [path]: handle })
  }
}

/** The methods that are added, by path. */
function loadMethods(load: (server: Pick<Server, 'addService'>) => void): ReadonlyMap<string, LoadedMethod> {
  const added = new Map<string, LoadedMethod>()
  load({
    addService: (service, handlers) => {
      for (const [name, method] of Object.entries(service)) {
        const handle = handlers[name] ?? handlers[method.originalName as string]
        added.set(method.path, { method, handle: handle as UntypedHandleCall })
      }
    },
  })
  return added
}
