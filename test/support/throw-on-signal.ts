// Loaded with `node --import`: lets a signal make the process fail like a bug in the core. SIGUSR2 throws an uncaught
// error; SIGPWR leaves a rejection unhandled.

import { isMainThread } from 'node:worker_threads'

if (isMainThread) {
  process.on('SIGUSR2', () => {
    setImmediate(() => {
      throw new Error('a bug in the core')
    })
  })
  process.on('SIGPWR', () => {
    void Promise.reject(new Error('a forgotten promise of the core'))
  })
}
