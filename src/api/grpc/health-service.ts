// grpc.health.v1: the whole server under "" and each service by name, all with the state of /readyz.

import type { HealthImplementation } from 'grpc-health-check'
import type { Health, Readiness } from '../../telemetry/health.ts'

/** Returns a function that stops following the health. */
export function followHealth(
  service: HealthImplementation,
  health: Health,
  serviceNames: readonly string[],
): () => void {
  const setStatus = ({ state }: Readiness) => {
    for (const name of ['', ...serviceNames]) service.setStatus(name, state === 'unready' ? 'NOT_SERVING' : 'SERVING')
  }
  setStatus(health.readiness())
  return health.onChange(setStatus)
}
