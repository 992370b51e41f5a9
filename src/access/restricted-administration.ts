// Administration with a key for some topics and types: what is outside is not there.

import { MillraceError } from '../errors.ts'
import type { Administration, GroupName } from '../pipeline/administration.ts'
import type { DeadLetterFilter } from '../pipeline/dead-letters.ts'
import type { Grant } from '../pipeline/keys.ts'
import { missing, missingTopic, onlyOf, orMissing, seesEvent, seesTopic } from './outside.ts'

export function restrictAdministration(administration: Administration, grant: Grant): Administration {
  const getDeadLetter = async (deadLetterId: string) => {
    const none = missing(`dead letter "${deadLetterId.slice(0, 80)}"`)
    const detail = await orMissing(none, administration.getDeadLetter(deadLetterId))
    if (!seesEvent(grant, detail.letter)) throw none
    return detail
  }
  /** Checks the letters that a filter names, or narrows it to one topic and one type of the key. */
  const within = async (filter: DeadLetterFilter): Promise<DeadLetterFilter> => {
    if (filter.deadLetterIds !== undefined) {
      for (const id of filter.deadLetterIds) await getDeadLetter(id)
      return filter
    }
    const topic = oneOf('topic', filter.topic, grant.topics)
    if (topic !== undefined && !seesTopic(grant, topic)) throw missingTopic(topic)
    const type = oneOf('type', filter.type, grant.types)
    if (type !== undefined && !grant.allowsType(type)) throw missing(`dead letter of the type "${type.slice(0, 255)}"`)
    return { ...filter, topic, type }
  }
  /** A group works on all types of its topic, so a key for some types has none. */
  const ofGroup = async <Result>({ topic, group }: GroupName, work: () => Promise<Result>): Promise<Result> => {
    const none = missing(`group "${group.slice(0, 64)}" of a topic "${topic.slice(0, 64)}"`)
    if (!seesTopic(grant, topic)) throw none
    if (grant.types !== null) {
      throw new MillraceError('permission_denied', 'the key is for some types only, and a group works on all types')
    }
    return await work().catch((thrown: unknown) => {
      // That a group has no such key is the answer about the group.
      if (thrown instanceof MillraceError && thrown.code === 'not_found' && thrown.field !== 'key') throw none
      throw thrown
    })
  }
  return {
    journey: async (name) => {
      const none = missing(`event "${name.id.slice(0, 80)}", or it still waits`)
      const journey = await orMissing(none, administration.journey(name))
      if (!seesEvent(grant, journey.event)) throw none
      return journey
    },
    listDeadLetters: async (query) => {
      const page = await administration.listDeadLetters(query)
      return { ...page, deadLetters: page.deadLetters.filter((letter) => seesEvent(grant, letter)) }
    },
    groupDeadLetters: async (filter) =>
      (await administration.groupDeadLetters(filter)).filter((cause) => seesEvent(grant, cause)),
    getDeadLetter,
    redriveDeadLetters: async (request, options) =>
      await administration.redriveDeadLetters({ ...request, filter: await within(request.filter) }, options),
    deleteDeadLetters: async (filter, isDryRun, options) =>
      await administration.deleteDeadLetters(await within(filter), isDryRun, options),
    replay: async (request, options) => {
      const none = missing(`group "${request.group.slice(0, 64)}" of a topic "${request.topic.slice(0, 64)}"`)
      if (!seesTopic(grant, request.topic)) throw none
      const type = oneOf('type', request.type, grant.types)
      if (type !== undefined && !grant.allowsType(type)) return { replayed: 0, nextCursor: null }
      return await orMissing(none, administration.replay({ ...request, type }, options))
    },
    pauseGroup: (name, reason) => ofGroup(name, () => administration.pauseGroup(name, reason)),
    resumeGroup: (name, rate) => ofGroup(name, () => administration.resumeGroup(name, rate)),
    deleteGroup: (name) => ofGroup(name, () => administration.deleteGroup(name)),
    heldKeys: (name, limit) => ofGroup(name, () => administration.heldKeys(name, limit)),
    releaseKey: (name, key, action) => ofGroup(name, () => administration.releaseKey(name, key, action)),
  }
}

/** What is given, else the only one that the key is for. Errors: `permission_denied` when the key is for several. */
function oneOf(
  field: 'topic' | 'type',
  given: string | undefined,
  patterns: readonly string[] | null,
): string | undefined {
  if (given !== undefined || patterns === null) return given
  const only = onlyOf(patterns)
  if (only !== undefined) return only
  throw new MillraceError('permission_denied', `the key is for some ${field}s only: name one of them as ${field}`, {
    field,
  })
}
