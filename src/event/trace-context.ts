// The trace that a call, an event or a record batch belongs to (https://www.w3.org/TR/trace-context).

export interface TraceContext {
  /** `00-<trace id>-<span id>-<flags>`; that of a later version may have more fields. */
  readonly traceparent: string
  /** '' when there is none. */
  readonly tracestate: string
}

export interface TraceIds {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  /** 1: its trace is recorded. */
  readonly flags: number
}

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]*)?$/
const maxTraceparentLength = 255

const maxTracestateLength = 512
const maxTracestateMembers = 32

/** Null when it is malformed. A later version is read by its first four fields, as the standard requires. */
export function traceIdsOf(traceparent: string): TraceIds | null {
  const match = traceparent.length > maxTraceparentLength ? null : traceparentPattern.exec(traceparent)
  if (match === null) return null
  const [, version, traceId, spanId, flags, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  return { traceId, spanId, flags: Number.parseInt(flags!, 16) }
}

/**
 * The context in two headers, or in two attributes of an event. Undefined when there is none or it is malformed: then both are
 * ignored. A tracestate over the limits of the standard is left out.
 */
export function traceContextOf(traceparent: unknown, tracestate?: unknown): TraceContext | undefined {
  if (typeof traceparent !== 'string' || traceIdsOf(traceparent) === null) return undefined
  return { traceparent, tracestate: typeof tracestate === 'string' && isTracestate(tracestate) ? tracestate : '' }
}

/** The same as attributes of an event, as CloudEvents' Distributed Tracing extension names them. */
export function traceAttributesOf({ traceparent, tracestate }: TraceContext): [name: string, value: string][] {
  return [['traceparent', traceparent], ...(tracestate === '' ? [] : [['tracestate', tracestate] as [string, string]])]
}

/** Those of CloudEvents' Distributed Tracing extension. */
export const traceAttributeNames: readonly string[] = ['traceparent', 'tracestate']

function isTracestate(text: string): boolean {
  return text.length <= maxTracestateLength && /^[ -~]*$/.test(text) && text.split(',').length <= maxTracestateMembers
}
