// The checks that every driver makes on a declaration before it stores any of it.

import { MillraceError } from '../errors.ts'
import type { GroupDeclaration, TopicDeclaration } from './event-log.ts'

const maxPartitions = 1024
const maxNameLength = 255

/** Errors: `failed_precondition` (a number of partitions or a name outside the limits). */
export function checkDeclaration(topic: string, { partitions, groups }: TopicDeclaration): void {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > maxPartitions) {
    throw new MillraceError(
      'failed_precondition',
      `topic "${topic}" was declared with ${partitions} partitions; declare 1 to ${maxPartitions}`,
      { field: 'partitions' },
    )
  }
  for (const name of [topic, ...groups.map((group) => group.name)]) {
    if (name !== '' && name.length <= maxNameLength && !name.includes('\0')) continue
    throw new MillraceError(
      'failed_precondition',
      `"${name}" is not a valid name: use 1 to ${maxNameLength} characters, none of them NUL`,
      { field: 'name' },
    )
  }
}

/** @param known the partitions that the topic has. Errors: `failed_precondition` (fewer were declared). */
export function refuseFewerPartitions(topic: string, { partitions }: TopicDeclaration, known: number): void {
  if (partitions >= known) return
  throw new MillraceError(
    'failed_precondition',
    `topic "${topic}" has ${known} partitions and was declared with ${partitions}; partitions cannot be removed, declare at least ${known}`,
    { field: 'partitions' },
  )
}

/** @param isOrdered what the group is now. Errors: `failed_precondition` (something else was declared). */
export function refuseOtherOrder(topic: string, { name, ordered }: GroupDeclaration, isOrdered: boolean): void {
  if (ordered === undefined || ordered === isOrdered) return
  throw new MillraceError(
    'failed_precondition',
    `group "${name}" of topic "${topic}" is ${isOrdered ? 'ordered' : 'not ordered'}, and was declared with ordered: ${ordered} (a handler with limitPerKey needs true); ` +
      'declare it as it is, use another name, or delete the group first',
    { field: 'ordered' },
  )
}
