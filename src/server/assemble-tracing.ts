// The tracer, where one is wanted: then the SDK of OpenTelemetry is loaded.

import type { Config } from '../config/config.ts'
import { withinMs } from '../lib/abort.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { MaybeTracer } from '../telemetry/tracing.ts'
import type { Closers } from './closers.ts'

/** How long a stop waits for a collector that does not answer. */
const maxFlushMs = 2000

export async function assembleTracing(
  { otelExporterOtlpEndpoint: endpoint, otelTracesSampler, otelTracesSamplerArg }: Config,
  version: string,
  logger: Logger,
  closers: Closers,
): Promise<MaybeTracer> {
  if (endpoint === null) return null
  const { openTelemetry } = await import('../telemetry/open-telemetry.ts')
  const sampling = { sampler: otelTracesSampler, samplerRatio: otelTracesSamplerArg }
  const opened = await openTelemetry({ endpoint, ...sampling, version, logger })
  if (opened === null) return null
  closers.addBounded((remainingMs) => withinMs(opened.close(), Math.min(remainingMs(), maxFlushMs), undefined))
  return opened.tracer
}
