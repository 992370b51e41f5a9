// The built-in requests `text.analyze`: counts the words, characters and lines of a text.

import { isJsonContentType } from '../event/event.ts'
import { dead, defineHandler } from '../workers/define-handler.ts'
import type { HandledEvent } from '../workers/handled-event.ts'
import { TextCounter } from './text-counter.ts'

export const textAnalysis = defineHandler({
  request: 'text.analyze',
  handle: (request) => {
    const text = textOf(request)
    if (text === null) return dead('the data is JSON, but neither a text nor an object with a text: {"text": "..."}')
    const counter = new TextCounter()
    counter.push(text)
    return counter.end()
  },
})

/** Null when JSON has none. */
function textOf({ data, dataContentType, json }: HandledEvent): Uint8Array | null {
  if (data.length === 0 || !isJsonContentType(dataContentType)) return data
  const value = json() as string | { readonly text?: unknown } | null
  const text = typeof value === 'string' ? value : value?.text
  return typeof text === 'string' ? Buffer.from(text) : null
}
