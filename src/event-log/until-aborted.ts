// A promise whose caller may stop waiting for it.

import { MillraceError } from '../errors.ts'

/** Settles as the promise does, or rejects with `cancelled` when the signal aborts first. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(new MillraceError('cancelled', 'the call was cancelled; its outcome is unknown', { cause: signal.reason }))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const end = () => signal.removeEventListener('abort', onAbort)
    promise.then(
      (value) => {
        end()
        resolve(value)
      },
      (reason) => {
        end()
        reject(reason)
      },
    )
  })
}
