// Work with a narrower key: on its topics and types only.

import type { Grant } from '../pipeline/keys.ts'
import type { WorkJoin, WorkSession } from '../pipeline/work.ts'
import { typesWithin } from './common-patterns.ts'
import { missingTopic, orMissing, refuseType } from './outside.ts'

/** As many as a group can have. */
const maxTypes = 100

export async function restrictJoin(
  grant: Grant,
  join: WorkJoin,
  work: (join: WorkJoin) => Promise<WorkSession>,
): Promise<WorkSession> {
  if (join.request !== '') {
    if (!grant.allowsType(join.request)) throw refuseType(join.request)
    return await work(join)
  }
  const none = missingTopic(join.topic, 'join.topic')
  if (!grant.allowsTopic(join.topic)) throw none
  return await orMissing(none, work({ ...join, types: typesWithin(grant, join.types, maxTypes) }))
}
