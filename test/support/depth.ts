// How thorough the tests are. `npm test` takes a few random samples; `npm run test:long` takes many, and runs the
// end-to-end tests on a Redis Cluster.

export const longRunVariable = 'TEST_LONG'

export const isLongRun = process.env[longRunVariable] !== undefined

export function samples(few: number, many: number): number {
  return isLongRun ? many : few
}
