// Implements Administration over gRPC: AdminService.

import type { Administration } from '../pipeline/administration.ts'
import { administrationRpcs as rpcs } from '../wire/administration.ts'
import type { MakeCall } from './make-call.ts'

/** Errors: those of Administration, and `unavailable` and `deadline_exceeded` when no server answers. */
export function administrationOver(call: MakeCall): Administration {
  return {
    journey: (name) => call(rpcs.journey, name),
    listDeadLetters: async ({ limit, cursor, ...filter }) => {
      const { deadLetters, nextCursor } = await call(rpcs.listDeadLetters, { filter, limit, cursor, byCause: false })
      return { deadLetters, nextCursor }
    },
    groupDeadLetters: async (filter) => {
      const request = { filter, limit: 1, cursor: undefined, byCause: true }
      return (await call(rpcs.listDeadLetters, request)).causes
    },
    getDeadLetter: (deadLetterId) => call(rpcs.getDeadLetter, { deadLetterId }),
    redriveDeadLetters: (request, options) => call(rpcs.redriveDeadLetters, request, options),
    deleteDeadLetters: (filter, isDryRun, options) => call(rpcs.deleteDeadLetters, { filter, isDryRun }, options),
    replay: (request, options) => call(rpcs.replay, request, options),
    pauseGroup: async (name, reason) => void (await call(rpcs.pauseGroup, { ...name, reason })),
    resumeGroup: async (name, rate) => void (await call(rpcs.resumeGroup, { ...name, rate })),
    deleteGroup: (name) => call(rpcs.deleteGroup, name),
    heldKeys: (name, limit) => call(rpcs.heldKeys, { ...name, limit }),
    releaseKey: async (name, key, action) => void (await call(rpcs.releaseKey, { ...name, key, action })),
  }
}
