// Pauses, resumes and deletes groups.

import { MillraceError } from '../errors.ts'
import { type DeleteGroupAnswer, type GroupName, maxPauseReasonLength } from '../pipeline/administration.ts'
import type { AdminParts } from './admin-parts.ts'
import { checkText } from './filter.ts'
import { checkRate } from './paced-work.ts'

export class Groups {
  readonly #parts: Pick<AdminParts, 'eventLog' | 'ownGroups'>

  constructor(parts: Pick<AdminParts, 'eventLog' | 'ownGroups'>) {
    this.#parts = parts
  }

  async pause({ topic, group }: GroupName, reason: string): Promise<void> {
    checkName({ topic, group })
    checkReason(reason)
    await this.#parts.eventLog.setFlow(topic, group, { paused: reason })
  }

  async resume({ topic, group }: GroupName, rate?: number): Promise<void> {
    checkName({ topic, group })
    if (rate !== undefined) checkRate(rate)
    await this.#parts.eventLog.setFlow(topic, group, rate === undefined ? null : { ratePerSecond: rate })
  }

  async delete({ topic, group }: GroupName): Promise<DeleteGroupAnswer> {
    checkName({ topic, group })
    const { eventLog, ownGroups } = this.#parts
    if (ownGroups.some((own) => own.topic === topic && own.group === group)) {
      throw new MillraceError(
        'failed_precondition',
        `group "${group}" of topic "${topic}" cannot be deleted, because the server declares it at each start: ` +
          'pause it instead; to remove a topic, take it out of MILLRACE_TOPICS and restart first',
        { field: 'group' },
      )
    }
    return { abandoned: await eventLog.dropGroup(topic, group) }
  }
}

function checkName({ topic, group }: GroupName): void {
  checkText('topic', topic)
  checkText('group', group)
}

function checkReason(reason: string): void {
  if (reason.length <= maxPauseReasonLength && !/\p{Cc}/u.test(reason)) return
  const problem = `reason must be one line of at most ${maxPauseReasonLength} characters, without control characters`
  throw new MillraceError('invalid_event', problem, { field: 'reason' })
}
