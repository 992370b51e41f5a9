// Requests with a key: their ids belong to its name, so that they outlive a change of keys; with a narrower one, of its types only.

import type { Grant } from '../pipeline/keys.ts'
import type { Requests } from '../pipeline/requests.ts'
import type { EventRate } from './event-rate.ts'
import { missing, refuseType } from './outside.ts'
import { tooFast } from './restricted-publish.ts'

const noBytes = new Uint8Array(0)

export function restrictRequests(requests: Requests, grant: Grant, rate: EventRate | null): Requests {
  const caller = grant.name
  return {
    request: async (message, options) => {
      if (!grant.allowsType(message.type)) throw refuseType(message.type)
      const waitMs = rate?.take(1, 0) ?? 0
      if (waitMs > 0) throw tooFast(grant, waitMs)
      const own = { ...message, caller }
      message.data = noBytes
      return await requests.request(own, options)
    },
    // Without a type it looks among the requests of all types, but among those of this caller only.
    getReply: async (query, options) => {
      if (query.type !== '' && !grant.allowsType(query.type)) throw missing(`request "${query.requestId.slice(0, 80)}"`)
      return await requests.getReply({ ...query, caller }, options)
    },
  }
}
