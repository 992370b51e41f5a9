// The live connection of this tab: one stream of server-sent events at a time, closed while the tab is hidden.
//
// What is in the foreground has it: while the events page tails, the status is asked for instead. A broken stream is opened
// again, from the last event that came.

import { createContext, use, useEffect, useEffectEvent, useState } from 'react'
import { addressOf } from './api.ts'

/** `idle`: the tab is hidden, or another follower has the connection. */
export type LiveState = 'connecting' | 'open' | 'lost' | 'idle'

export interface Follower {
  readonly path: string
  readonly query: Readonly<Record<string, string | undefined>>
  /** Names of the events that are wanted. */
  readonly names: readonly string[]
  /** A stream that is silent for so long is taken for lost; null: silence says nothing. */
  readonly maxSilenceMs: number | null
  /** It takes the connection from those that are not. */
  readonly isForeground: boolean
  onEvent(name: string, data: string): void
  onState(state: LiveState): void
}

const reopenAfterMs = 2000

export class LiveConnection {
  readonly #followers: Follower[] = []
  #stream: EventSource | null = null
  #current: Follower | null = null
  #lastEventId = ''
  #reopening: ReturnType<typeof setTimeout> | undefined
  #silence: ReturnType<typeof setTimeout> | undefined

  constructor() {
    document.addEventListener('visibilitychange', () => this.#arrange())
  }

  /** Returns a function that ends it. */
  follow(follower: Follower): () => void {
    this.#followers.push(follower)
    this.#arrange()
    return () => {
      const index = this.#followers.indexOf(follower)
      if (index >= 0) this.#followers.splice(index, 1)
      this.#arrange()
    }
  }

  /** Gives the connection to the last follower in the foreground, or else to the last one. */
  #arrange(): void {
    const next = this.#followers.findLast(({ isForeground }) => isForeground) ?? this.#followers.at(-1) ?? null
    if (next !== this.#current) {
      this.#close()
      this.#lastEventId = ''
      this.#current = next
    }
    if (next === null) return
    if (document.hidden) this.#close()
    else if (this.#stream === null) this.#open(next)
  }

  #open(follower: Follower): void {
    clearTimeout(this.#reopening)
    follower.onState('connecting')
    const resume = this.#lastEventId === '' ? {} : { last_event_id: this.#lastEventId }
    const stream = new EventSource(addressOf(follower.path, { ...follower.query, ...resume }))
    this.#stream = stream
    this.#listen(follower)
    stream.onopen = () => follower.onState('open')
    stream.onerror = () => {
      follower.onState('lost')
      // The browser does not try again when the answer was an error.
      if (stream.readyState === EventSource.CLOSED) this.#reopenLater(stream)
    }
    for (const name of follower.names) {
      stream.addEventListener(name, ({ data, lastEventId }) => {
        if (lastEventId !== '') this.#lastEventId = lastEventId
        this.#listen(follower)
        follower.onEvent(name, data)
      })
    }
  }

  /** A network that is gone, or a server that hangs, ends no stream. */
  #listen(follower: Follower): void {
    clearTimeout(this.#silence)
    if (follower.maxSilenceMs === null) return
    this.#silence = setTimeout(() => {
      this.#close()
      follower.onState('lost')
      this.#reopening = setTimeout(() => this.#arrange(), reopenAfterMs)
    }, follower.maxSilenceMs)
  }

  #reopenLater(stream: EventSource): void {
    this.#reopening = setTimeout(() => {
      if (this.#stream !== stream) return
      this.#stream = null
      this.#arrange()
    }, reopenAfterMs)
  }

  #close(): void {
    clearTimeout(this.#reopening)
    clearTimeout(this.#silence)
    if (this.#stream === null) return
    this.#stream.close()
    this.#stream = null
    this.#current?.onState('idle')
  }
}

export const LiveContext = createContext<LiveConnection | null>(null)

interface Following {
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly names: readonly string[]
  readonly onEvent: (name: string, data: string) => void
  /** Default null. */
  readonly maxSilenceMs?: number | null
  /** Default false. */
  readonly isForeground?: boolean
  /** Default true. */
  readonly isWanted?: boolean
}

/** Follows while the component is shown. A change of path or query starts another stream. */
export function useLive(following: Following): LiveState {
  const { path, query = {}, names, onEvent, maxSilenceMs = null, isForeground = false, isWanted = true } = following
  const connection = use(LiveContext)
  const [state, setState] = useState<LiveState>('idle')
  const receive = useEffectEvent(onEvent)
  const [nameList, queryText] = [names.join(' '), JSON.stringify(query)]
  useEffect(() => {
    if (!isWanted || connection === null) return
    const end = connection.follow({
      path,
      query: JSON.parse(queryText),
      names: nameList.split(' '),
      maxSilenceMs,
      isForeground,
      onEvent: (name, data) => receive(name, data),
      onState: setState,
    })
    return () => {
      end()
      setState('idle')
    }
  }, [connection, path, queryText, nameList, maxSilenceMs, isForeground, isWanted])
  return state
}
