// AdminService: each method calls the pipeline once.

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import { listEvents, administrationRpcs as rpcs } from '../../wire/administration.ts'
import { observed, statusRpcs } from '../../wire/status.ts'
import { done, unary } from './unary.ts'
import { watchStatus } from './watch-status.ts'

export function adminHandlers(pipeline: Pipeline): UntypedServiceImplementation {
  const { administration, live } = pipeline
  return {
    getStatus: unary(statusRpcs.status, async () => ({ status: await pipeline.status() })),
    getStatusHistory: unary(statusRpcs.history, () => pipeline.history()),
    listGroups: unary(statusRpcs.groups, async () => ({ groups: await pipeline.groups() })),
    listWorkers: unary(statusRpcs.workers, async () => ({ workers: await pipeline.workers() })),
    listSubscribers: unary(statusRpcs.subscribers, async () => ({ subscribers: await live.subscribers() })),
    listEvents: unary(listEvents, (query) => pipeline.listEvents(query)),
    watchStatus: watchStatus(async () => observed.toMessage(await pipeline.observe())),
    getEvent: unary(rpcs.journey, (name) => administration.journey(name)),
    listDeadLetters: unary(rpcs.listDeadLetters, async ({ filter, byCause, ...page }) => {
      if (!byCause) return { ...(await administration.listDeadLetters({ ...filter, ...page })), causes: [] }
      return { causes: await administration.groupDeadLetters(filter), deadLetters: [], nextCursor: null }
    }),
    getDeadLetter: unary(rpcs.getDeadLetter, ({ deadLetterId }) => administration.getDeadLetter(deadLetterId)),
    redriveDeadLetters: unary(rpcs.redriveDeadLetters, (request, signal) =>
      administration.redriveDeadLetters(request, { signal }),
    ),
    deleteDeadLetters: unary(rpcs.deleteDeadLetters, ({ filter, isDryRun }, signal) =>
      administration.deleteDeadLetters(filter, isDryRun, { signal }),
    ),
    replay: unary(rpcs.replay, (request, signal) => administration.replay(request, { signal })),
    pauseGroup: unary(rpcs.pauseGroup, ({ reason, ...name }) => done(administration.pauseGroup(name, reason))),
    resumeGroup: unary(rpcs.resumeGroup, ({ rate, ...name }) => done(administration.resumeGroup(name, rate))),
    deleteGroup: unary(rpcs.deleteGroup, (name) => administration.deleteGroup(name)),
    listHeldKeys: unary(rpcs.heldKeys, ({ limit, ...name }) => administration.heldKeys(name, limit)),
    releaseKey: unary(rpcs.releaseKey, ({ key, action, ...name }) =>
      done(administration.releaseKey(name, key, action)),
    ),
  }
}
