// Loaded with `node --import`: a wall clock that can be made to jump from outside. The file `clock-offset-ms` in the
// working directory says by how much it is off; the monotonic clock stays as it is, as with a real jump.
//
// It reaches the threads of the databases too: node passes `--import` on to its workers.

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
