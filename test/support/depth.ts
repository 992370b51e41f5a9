// How thorough the tests are. `npm test` takes a few random samples; `npm run test:long` takes many, and runs the
// end-to-end tests on a Redis Cluster too.

export const isLongRun = process.env.TEST_LONG !== undefined

export function samples(few: number, many: number): number {
  return isLongRun ? many : few
}
