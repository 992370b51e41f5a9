// The live feed with a narrower key: its topics, and of each topic the events of its types, which gaps count alone.

import type { Grant } from '../pipeline/keys.ts'
import { type Live, maxFilterValues } from '../pipeline/live.ts'
import { typesWithin } from './common-patterns.ts'
import { missingTopic, orMissing } from './outside.ts'

export function restrictLive(live: Live, grant: Grant): Live {
  return {
    subscribe: async (query) => {
      const none = missingTopic(query.topic)
      if (!grant.allowsTopic(query.topic)) throw none
      return await orMissing(
        none,
        live.subscribe({ ...query, types: typesWithin(grant, query.types, maxFilterValues) }),
      )
    },
    landedCursor: async (topic) => {
      const none = missingTopic(topic)
      if (!grant.allowsTopic(topic)) throw none
      return await orMissing(none, live.landedCursor(topic))
    },
    subscribers: () => live.subscribers().filter(({ topic }) => grant.allowsTopic(topic)),
  }
}
