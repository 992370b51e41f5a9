// The tracer of OpenTelemetry, which sends spans to a collector by OTLP.
//
// The only file that loads the SDK, and only when it is called: the packages are optional peers. Spans and attributes follow
// the messaging conventions, version 1.45.
//
// It registers with OpenTelemetry's API what is not registered yet, so that handlers can make spans of their own; and takes
// that back at the end.

import type { Span as ApiSpan, Tracer as ApiTracer, Attributes, Context, Link, SpanContext } from '@opentelemetry/api'
import type { ReadableSpan, Sampler, SpanExporter } from '@opentelemetry/sdk-trace'
import { type TraceContext, traceIdsOf } from '../event/trace-context.ts'
import type { Logger } from './logger.ts'
import type { GroupWork, Span, SpanFailure, TracedEvent, Tracer, Work } from './tracing.ts'

export interface OpenTelemetryOptions {
  /** The base URL of a collector that takes OTLP over HTTP: spans go to `<endpoint>/v1/traces`. */
  readonly endpoint: string
  readonly sampler: SamplerName
  /** The share of traces that are recorded, 0 to 1, for the samplers with a ratio. */
  readonly samplerRatio: number
  readonly version: string
  readonly logger: Logger
}

export type SamplerName = RootSampler | `parentbased_${RootSampler}`
type RootSampler = 'always_on' | 'always_off' | 'traceidratio'

export interface OpenTelemetry {
  readonly tracer: Tracer
  /** Sends the spans that have ended. Idempotent. */
  close(): Promise<void>
}

/** What a program must have installed beside this package: its optional peers. */
export const sdkPackages = [
  '@opentelemetry/sdk-trace',
  '@opentelemetry/resources',
  '@opentelemetry/context-async-hooks',
  '@opentelemetry/core',
  '@opentelemetry/exporter-trace-otlp-proto',
] as const

/** More links than the SDK keeps are not looked for. */
const maxLinks = 128
/** Max contexts that are read from a message with many events. */
const maxContextsRead = 1000

const sampledFlag = 1

/** Null, with a warning that says what to install, where the SDK is missing. */
export async function openTelemetry(options: OpenTelemetryOptions): Promise<OpenTelemetry | null> {
  const sdk = await loadSdk().catch((thrown: unknown) => {
    const names = sdkPackages.join(' ')
    const text = `OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent, because the SDK of OpenTelemetry cannot be loaded: npm install ${names}`
    options.logger.warn({ error: thrown }, text)
    return null
  })
  return sdk === null ? null : start(sdk, options)
}

type Sdk = Awaited<ReturnType<typeof loadSdk>>

async function loadSdk() {
  const [api, trace, resources, hooks, core, exporter] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/core'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
  ])
  return { ...{ api, trace, resources, hooks, core }, exporter }
}

function start(sdk: Sdk, { endpoint, sampler, samplerRatio, version, logger }: OpenTelemetryOptions): OpenTelemetry {
  const { api, trace, resources, hooks, core } = sdk
  const { detectResources, envDetector, resourceFromAttributes, serviceInstanceIdDetector } = resources
  const own = resourceFromAttributes({ 'service.name': 'millrace', 'service.version': version })
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`
  const exporter = notingFailures(sdk, new sdk.exporter.OTLPTraceExporter({ url }), url, logger)
  const provider = new trace.TracerProvider({
    resource: own
      .merge(detectResources({ detectors: [serviceInstanceIdDetector] }))
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: samplerOf(sdk, sampler, samplerRatio),
    spanProcessors: [new trace.BatchSpanProcessor({ exporter })],
  })
  const contexts = new hooks.AsyncLocalStorageContextManager().enable()
  const registered = [
    api.context.setGlobalContextManager(contexts) && (() => api.context.disable()),
    api.trace.setGlobalTracerProvider(provider) && (() => api.trace.disable()),
    api.propagation.setGlobalPropagator(new core.W3CTraceContextPropagator()) && (() => api.propagation.disable()),
  ]
  let closed: Promise<void> | null = null
  const close = async () => {
    for (const takeBack of registered) if (takeBack !== false) takeBack()
    await provider.shutdown()
  }
  return {
    tracer: new SpanMaker(sdk, provider.getTracer('millrace', version)),
    close: () => {
      closed ??= close()
      return closed
    },
  }
}

function samplerOf({ trace }: Sdk, name: SamplerName, ratio: number): Sampler {
  const { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler } = trace
  const roots = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }
  const root = roots[name.replace('parentbased_', '') as RootSampler]()
  return name.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}

/** Logs when a collector begins to fail, and when it takes spans again, instead of each failure. */
function notingFailures({ core }: Sdk, exporter: SpanExporter, url: string, logger: Logger): SpanExporter {
  let lost = 0
  return {
    export: (spans: ReadableSpan[], done) =>
      exporter.export(spans, (result) => {
        const hasFailed = result.code !== core.ExportResultCode.SUCCESS
        if (hasFailed && lost === 0)
          logger.warn({ error: result.error }, `${url} takes no spans; they are lost meanwhile`)
        if (!hasFailed && lost > 0) logger.info(`${url} takes spans again; ${lost} were lost`)
        lost = hasFailed ? lost + spans.length : 0
        done(result)
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  }
}

type OperationName = 'send' | 'process'

class SpanMaker implements Tracer {
  readonly #sdk: Sdk
  readonly #tracer: ApiTracer

  constructor(sdk: Sdk, tracer: ApiTracer) {
    this.#sdk = sdk
    this.#tracer = tracer
  }

  send(work: Work): Span {
    return this.#start('send', work, {})
  }

  process(work: GroupWork): Span {
    const attempt = work.attempt === undefined ? {} : { 'millrace.attempt': work.attempt }
    return this.#start('process', work, { 'messaging.consumer.group.name': work.group, ...attempt })
  }

  #start(operation: OperationName, work: Work, more: Attributes): Span {
    const { api } = this.#sdk
    const { topic, events, event, requestId, parent } = work
    const from = this.#distinct(work.from)
    const given = parent === undefined ? null : this.#toSpanContext(parent)
    const parentContext = given ?? onlyOne(from)
    // What is sent for one producer continues its trace; what is worked on has links in any case.
    const linked = operation === 'send' ? from.filter((each) => each !== parentContext) : from
    const span = this.#tracer.startSpan(
      `${operation} ${topic}`,
      {
        kind: operation === 'send' ? api.SpanKind.PRODUCER : api.SpanKind.CONSUMER,
        links: linked.map((context): Link => ({ context })),
        attributes: {
          'messaging.system': 'millrace',
          'messaging.operation.name': operation,
          'messaging.operation.type': operation,
          'messaging.destination.name': topic,
          ...(events > 1 ? { 'messaging.batch.message_count': events } : {}),
          ...(requestId === undefined ? {} : { 'messaging.message.conversation_id': requestId }),
          ...(event === undefined ? {} : attributesOf(event)),
          ...more,
        },
      },
      parentContext === null ? api.ROOT_CONTEXT : api.trace.setSpanContext(api.ROOT_CONTEXT, parentContext),
    )
    const active: Context = api.trace.setSpan(api.ROOT_CONTEXT, span)
    return {
      context: toTraceContext(span.spanContext()),
      run: (work) => api.context.with(active, work),
      end: (failure) => {
        if (failure !== null) noteFailure(this.#sdk, span, failure)
        span.end()
      },
    }
  }

  #distinct(contexts: Iterable<TraceContext>): SpanContext[] {
    const found = new Map<string, SpanContext>()
    let read = 0
    for (const context of contexts) {
      if (!found.has(context.traceparent)) {
        const spanContext = this.#toSpanContext(context)
        if (spanContext !== null) found.set(context.traceparent, spanContext)
      }
      if (++read === maxContextsRead || found.size === maxLinks) break
    }
    return [...found.values()]
  }

  #toSpanContext({ traceparent, tracestate }: TraceContext): SpanContext | null {
    const ids = traceIdsOf(traceparent)
    if (ids === null) return null
    const { traceId, spanId, flags } = ids
    const state = tracestate === '' ? {} : { traceState: this.#sdk.api.createTraceState(tracestate) }
    return { traceId, spanId, traceFlags: flags & sampledFlag, isRemote: true, ...state }
  }
}

/** The context that all recorded ones are; the first one when none is recorded, so that this is not either; else null. */
function onlyOne(contexts: readonly SpanContext[]): SpanContext | null {
  const recorded = contexts.filter(({ traceFlags }) => (traceFlags & sampledFlag) !== 0)
  if (recorded.length === 0) return contexts[0] ?? null
  return recorded.length === 1 ? recorded[0]! : null
}

function attributesOf({ id, source, type, subject }: TracedEvent): Attributes {
  return {
    'messaging.message.id': id,
    'cloudevents.event_id': id,
    'cloudevents.event_source': source,
    'cloudevents.event_spec_version': '1.0',
    'cloudevents.event_type': type,
    ...(subject === '' ? {} : { 'cloudevents.event_subject': subject }),
  }
}

function noteFailure({ api }: Sdk, span: ApiSpan, failure: SpanFailure): void {
  span.setAttribute('error.type', failure.code)
  span.setStatus({ code: api.SpanStatusCode.ERROR, message: failure.message })
}

function toTraceContext({ traceId, spanId, traceFlags, traceState }: SpanContext): TraceContext {
  const flags = (traceFlags & 0xff).toString(16).padStart(2, '0')
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: traceState?.serialize() ?? '' }
}
