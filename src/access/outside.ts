// What a narrower key is for, and the answers about what is outside.
//
// A topic or an object outside is answered as one that does not exist, so both have one text, made here: that of the core names
// what there is. Types are no objects: a key that lacks one is told so.

import { MillraceError, toMillraceError } from '../errors.ts'
import { requestTypeOf } from '../event/request.ts'
import type { Grant } from '../pipeline/keys.ts'

/** Whether the key is for the topic; for requests, whose topics have no names, whether it is for their type. */
export function seesTopic(grant: Grant, topic: string): boolean {
  const requestType = requestTypeOf(topic)
  return requestType === null ? grant.allowsTopic(topic) : grant.allowsType(requestType)
}

export function seesEvent(grant: Grant, { topic, type }: { readonly topic: string; readonly type: string }): boolean {
  return seesTopic(grant, topic) && grant.allowsType(type)
}

export function isNarrow({ topics, types }: Grant): boolean {
  return topics !== null || types !== null
}

/** The one name that the patterns are for; undefined when they are for several. */
export function onlyOf(patterns: readonly string[] | null): string | undefined {
  return patterns?.length === 1 && !patterns[0]!.includes('*') ? patterns[0] : undefined
}

export function missingTopic(topic: string, field = 'topic'): MillraceError {
  return new MillraceError('not_found', `there is no topic "${topic.slice(0, 64)}"`, { field })
}

/** @param name what is asked for, as in `event "a"`. */
export function missing(name: string): MillraceError {
  return new MillraceError('not_found', `there is no ${name}`)
}

export function refuseType(type: string): MillraceError {
  return new MillraceError('permission_denied', `the key is not for the type "${type.slice(0, 255)}"`, {
    field: 'type',
  })
}

/** The result of the work; if it finds nothing, the error that is told about what is outside. */
export async function orMissing<Result>(error: MillraceError, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (thrown) {
    throw toMillraceError(thrown).code === 'not_found' ? error : thrown
  }
}
