// What the process and the thread of a handler say to each other. All of it is plain data.

import { type ErrorCode, MillraceError, type MillraceErrorOptions } from '../../errors.ts'
import type { TraceContext } from '../../event/trace-context.ts'
import type { AttemptEnd } from '../attempt.ts'
import type { AbortReason, HandlerContext, HandlerModule } from '../define-handler.ts'
import type { PlainEvent } from '../handled-event.ts'

/** The start data of the thread. */
export interface ThreadData {
  readonly module: HandlerModule
  readonly filesDir: string
}

export type ToThread =
  | {
      readonly is: 'call'
      readonly call: number
      readonly attempt: number
      readonly trace: TraceContext | undefined
      readonly events: readonly PlainEvent[]
    }
  | { readonly is: 'abort'; readonly call: number; readonly reason: AbortReason }
  | { readonly is: 'published'; readonly number: number; readonly error: PlainError | null }

export type FromThread =
  /** It has the handler; before that, nothing else is said. */
  | { readonly is: 'ready' }
  | { readonly is: 'unusable'; readonly reason: string }
  /** From now on the thread may end because of this call. */
  | { readonly is: 'begun'; readonly call: number }
  | { readonly is: 'ended'; readonly call: number; readonly ends: readonly AttemptEnd[] }
  | { readonly is: 'progress'; readonly call: number }
  | { readonly is: 'line'; readonly call: number; readonly level: LineLevel; readonly line: Line }
  | {
      readonly is: 'publish'
      readonly call: number
      readonly number: number
      readonly topic: string
      readonly message: Uint8Array
    }

export type LineLevel = keyof HandlerContext['logger']
/** The arguments of a log method. */
export type Line = readonly [fields: object, message: string] | readonly [message: string]

interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly options: MillraceErrorOptions
}

export function toPlainError({ code, message, field, retryAfterMs, taken }: MillraceError): PlainError {
  return { code, message, options: { field, retryAfterMs, taken } }
}

export function toError({ code, message, options }: PlainError): MillraceError {
  return new MillraceError(code, message, options)
}
