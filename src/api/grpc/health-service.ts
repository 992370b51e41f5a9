// grpc.health.v1: the whole server under "" and each service by name, all with the state of /readyz.

import { createRequire } from 'node:module'
import type { Server } from '@grpc/grpc-js'
import type { Health, Readiness } from '../../telemetry/health.ts'
import { addLazyService } from './lazy-service.ts'

const methods = ['Check', 'Watch', 'List'].map((name) => ({
  path: `/grpc.health.v1.Health/${name}`,
  requestStream: false,
  responseStream: name === 'Watch',
}))

/** Returns a function that stops following the health. */
export function addHealth(server: Server, health: Health, serviceNames: readonly string[]): () => void {
  let stopFollowing = () => {}
  addLazyService(server, methods, (loading) => {
    const require = createRequire(import.meta.url)
    const { HealthImplementation } = require('grpc-health-check') as typeof import('grpc-health-check')
    const service = new HealthImplementation()
    const setStatus = ({ state }: Readiness) => {
      for (const name of ['', ...serviceNames]) service.setStatus(name, state === 'unready' ? 'NOT_SERVING' : 'SERVING')
    }
    setStatus(health.readiness())
    stopFollowing = health.onChange(setStatus)
    service.addToServer(loading)
  })
  return () => stopFollowing()
}
