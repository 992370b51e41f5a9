// Loaded with `node --import`: makes the process fail from outside as a bug in the core would. SIGUSR2 throws where
// nobody catches; SIGPWR leaves a rejected promise to itself.

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
