// How deep the tests go. `npm test` takes a few samples of what is random; `npm run test:long` takes many, and runs the
// stories on a Redis Cluster.

export const longRunVariable = 'TEST_LONG'

export const isLongRun = process.env[longRunVariable] !== undefined

export function samples(few: number, many: number): number {
  return isLongRun ? many : few
}
