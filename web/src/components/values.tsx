// One value each: a count, a rate, a duration, a time. What is not known is a dash that says so.

import { formatBytes, formatCount, formatRate, formatSeconds, formatTime } from '../format.ts'
import { Unknown } from './unknown.tsx'

interface Value {
  readonly of: number | null | undefined
  /** Why it is not known. */
  readonly why?: string
}

function shown({ of, why }: Value, format: (value: number) => string) {
  return of == null ? <Unknown {...(why === undefined ? {} : { why })} /> : <span className="number">{format(of)}</span>
}

export function Count(value: Value) {
  return shown(value, formatCount)
}

export function Rate(value: Value) {
  return shown(value, formatRate)
}

export function Duration(value: Value) {
  return shown(value, formatSeconds)
}

export function Bytes(value: Value) {
  return shown(value, formatBytes)
}

/** Local, with the exact value on hover. */
export function Time({ of, why = 'the time was not recorded' }: { readonly of: string | null; readonly why?: string }) {
  if (of === null) return <Unknown why={why} />
  return (
    <time className="number" dateTime={of} title={of}>
      {formatTime(of)}
    </time>
  )
}
