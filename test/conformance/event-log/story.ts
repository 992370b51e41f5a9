// What the sections of the suite share.

import type { TestContext } from 'node:test'
import { MillraceError } from '../../../src/errors.ts'
import type { Bench } from '../event-log-bench.ts'

/** A guarantee of the contract, and the test of it on a new topic. */
export type Story = (title: string, body: (bench: Bench, t: TestContext) => Promise<void>) => void

export const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code
