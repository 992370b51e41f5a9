// Loaded with `node --import`: a wall clock that another process can make jump. The file `clock-offset-ms` in the
// working directory holds its offset; the monotonic clock is unchanged, as with a real jump.
//
// It applies to the database threads too: node passes `--import` on to its workers.

import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'

const file = 'clock-offset-ms'
const lookEveryMs = 20
const realNow = Date.now
let offsetMs = 0
let lookedAtMs = Number.NEGATIVE_INFINITY

function offset(): number {
  const nowMs = performance.now()
  if (nowMs - lookedAtMs > lookEveryMs) {
    lookedAtMs = nowMs
    try {
      offsetMs = Number(readFileSync(file, 'utf8'))
    } catch {
      offsetMs = 0
    }
  }
  return offsetMs
}

const RealDate = Date
const shiftedNow = (): number => realNow() + offset()
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, self) => Reflect.construct(target, given.length === 0 ? [shiftedNow()] : given, self),
  get: (target, name, self) => (name === 'now' ? shiftedNow : Reflect.get(target, name, self)),
})
