// A client of the live feed over HTTP, as simple as a browser's EventSource.

export interface ServerSentEvent {
  /** The last id that came, with this event or before it. */
  readonly id: string
  readonly event: string
  readonly data: string
}

/** Ends with the stream; throws when the connection breaks. Throws at once with the answer when it is not 200. */
export async function* serverSentEvents(url: string, init: RequestInit = {}): AsyncGenerator<ServerSentEvent, void> {
  const response = await fetch(url, init)
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
  let id = ''
  let text = ''
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + part).split('\n\n')
    text = blocks.pop()!
    for (const block of blocks) {
      const fields = block.split('\n').map((line) => /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [])
      const valuesOf = (name: string) => fields.flatMap(([, field, value = '']) => (field === name ? [value] : []))
      id = valuesOf('id').at(-1) ?? id
      const data = valuesOf('data')
      if (data.length > 0) yield { id, event: valuesOf('event').at(-1) ?? 'message', data: data.join('\n') }
    }
  }
}
