// Converts the status of AdminService.GetStatus and WatchStatus to the pipeline's type.

import { MillraceError } from '../errors.ts'
import type { GetStatusResponse, GroupState as GroupStateMessage } from '../gen/millrace/v1/admin_pb.ts'
import { microsOf } from '../lib/timestamp.ts'
import { type GroupState, groupStates, runningState } from '../pipeline/group-state.ts'
import type { Status } from '../pipeline/pipeline.ts'
import { durabilityOfText } from './wire-values.ts'

/** A field that is absent on the wire is unknown: it becomes null, never 0. */
export function statusOfWire({ status }: Pick<GetStatusResponse, 'status'>): Status {
  if (status === undefined) throw new MillraceError('internal', 'the server answered without a status')
  return {
    version: status.version,
    uptimeSeconds: status.uptimeSeconds,
    durability: durabilityOfText(status.durability),
    log: { driver: status.log?.driver ?? '', epoch: numberOrNull(status.log?.epoch) },
    store: { driver: status.store?.driver ?? '', up: status.store?.up ?? false },
    state: status.state === 'degraded' || status.state === 'unready' ? status.state : 'ready',
    causes: status.causes.map(({ component, reason, message }) => ({ component, reason, message })),
    topics: status.topics.map(({ name, partitions, groups }) => ({
      name,
      partitions,
      groups: groups.map((group) => ({
        name: group.name,
        types: group.types,
        waiting: numberOrNull(group.waiting),
        ready: numberOrNull(group.ready),
        scheduled: numberOrNull(group.scheduled),
        held: numberOrNull(group.held),
        inFlight: numberOrNull(group.inFlight),
        skipped: numberOrNull(group.skipped),
        oldestWaitingSeconds: group.oldestWaitingSeconds ?? null,
        state: groupStateOfWire(group.state),
      })),
    })),
    ledger: status.ledger.map((row) => ({
      topic: row.topic,
      group: row.group,
      accepted: numberOrNull(row.accepted),
      reopened: numberOrNull(row.reopened),
      waiting: numberOrNull(row.waiting),
      landed: numberOrNull(row.landed),
      dead: numberOrNull(row.dead),
      lost: numberOrNull(row.lost),
      balanced: row.balanced ?? null,
    })),
    processes: status.processes.map(({ id, roles, host, version, startedAt }) => ({
      ...{ id, roles, host, version },
      startedAtMs: startedAt === undefined ? 0 : Number(microsOf(startedAt)) / 1000,
    })),
    subscribers: numberOrNull(status.subscribers),
    workers: numberOrNull(status.workers),
  }
}

function numberOrNull(value: bigint | undefined): number | null {
  return value === undefined ? null : Number(value)
}

/** A state that this client does not know is one in which the group does not run. */
function groupStateOfWire(state: GroupStateMessage | undefined): GroupState {
  if (state === undefined) return runningState
  return {
    is: groupStates.find((known) => known === state.is) ?? 'outage',
    by: state.by === 'person' || state.by === 'system' ? state.by : null,
    reason: state.reason ?? null,
    sinceMs: state.since === undefined ? null : Number(microsOf(state.since)) / 1000,
  }
}
