// grpc.health.v1: the whole server under "", then each service, all as /readyz says it.

import type { HealthImplementation } from 'grpc-health-check'
import type { Health } from '../../telemetry/health.ts'

/** Answers a function that ends following the health. */
export function followHealth(
  service: HealthImplementation,
  health: Health,
  serviceNames: readonly string[],
): () => void {
  const tell = (ready: boolean) => {
    for (const name of ['', ...serviceNames]) service.setStatus(name, ready ? 'SERVING' : 'NOT_SERVING')
  }
  tell(health.readiness().ready)
  return health.onChange(({ ready }) => tell(ready))
}
