// Which groups may be deleted: those that the server does not declare itself at each start.

import type { Group, Worker } from '../api.ts'

const landingGroups = ['landing', 'agents', 'dead']

/** The server judges again; its refusal says what to do. */
export function isDeletable({ topic, name, options, state }: Group, workers: readonly Worker[]): boolean {
  const hasWorker = workers.some((worker) => worker.topic === topic && worker.group === name)
  if (hasWorker || state.is === 'no_worker') return true
  // With options and without a worker, it is a handler inside the server.
  return options === null && !landingGroups.includes(name)
}
