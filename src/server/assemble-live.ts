// The live feed of a server, reporting to its metrics.

import type { EventLog } from '../event-log/event-log.ts'
import { landingGroup } from '../landing/landing.ts'
import { LiveFeed } from '../live-feed/live-feed.ts'
import type { ServerContext } from './server-context.ts'

export function assembleLive(context: ServerContext, eventLog: EventLog): LiveFeed {
  const { config, metrics } = context
  const topics = config.topics.map(({ name }) => name)
  const live = new LiveFeed({
    ...context,
    tail: eventLog.tail,
    topics,
    landingGroup,
    subscriberMaxBytes: config.subscriberMaxBytes,
    count: (topic, sent, dropped) => {
      if (sent > 0) metrics.liveSent.add(sent, { topic })
      if (dropped > 0) metrics.liveDropped.add(dropped, { topic })
    },
  })
  metrics.onScrape(() => {
    live.countDropped()
    for (const topic of topics) metrics.subscribers.set(live.subscribersOf(topic), { topic })
    metrics.liveLag.set(live.greatestLag())
  })
  return live
}
