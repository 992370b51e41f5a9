// The live feed with a key: its topics, and of each topic the events of its types, which gaps count alone. Ids of subscribers
// belong to the key, so that no other one can end its subscriptions.

import type { Grant } from '../pipeline/keys.ts'
import { type Live, maxFilterValues } from '../pipeline/live.ts'
import { typesWithin } from './common-patterns.ts'
import { missingTopic, orMissing } from './outside.ts'

export function restrictLive(live: Live, grant: Grant): Live {
  return {
    subscribe: async (query) => {
      const none = missingTopic(query.topic)
      if (!grant.allowsTopic(query.topic)) throw none
      const types = typesWithin(grant, query.types, maxFilterValues)
      return await orMissing(none, live.subscribe({ ...query, caller: grant.keyId, types }))
    },
    landedCursor: async (topic) => {
      const none = missingTopic(topic)
      if (!grant.allowsTopic(topic)) throw none
      return await orMissing(none, live.landedCursor(topic))
    },
    // What they lag behind, and what others were sent, counts events of all types.
    subscribers: async () => {
      if (grant.types !== null) return []
      return (await live.subscribers()).filter(({ topic }) => grant.allowsTopic(topic))
    },
  }
}
