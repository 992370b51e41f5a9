// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers, revision 11): what a key may still publish.

import type { EventRate } from '../../access/event-rate.ts'

/** The quota counts events of one second; `t` is when all of it is there again, in seconds. */
export function rateLimitHeaders(rate: EventRate, isRefused: boolean): Record<string, string> {
  const { eventsPerSecond, left, fullInMs } = rate.state()
  const seconds = Math.ceil(fullInMs / 1000)
  const reset = seconds === 0 ? '' : `;t=${seconds}`
  return {
    'ratelimit-policy': `"publish";q=${eventsPerSecond};w=1`,
    ratelimit: `"publish";r=${isRefused ? 0 : left}${reset}`,
  }
}
