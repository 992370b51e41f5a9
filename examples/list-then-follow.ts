// Lists the events of a page, then follows what comes, over HTTP: nothing is missed between the two, and nothing when the
// connection is cut. What landed while the page was read may come twice, with the same id.
//
//   npm start                                  (in another terminal)
//   node examples/list-then-follow.ts [address] [how many events to follow]

const address = process.argv[2] ?? '127.0.0.1:8080'
let left = Number(process.argv[3] ?? Number.POSITIVE_INFINITY)

interface Page {
  readonly events: readonly { readonly event_id: string }[]
  readonly live_cursor: string
}

const page = (await (await fetch(`http://${address}/v1/events?limit=10`)).json()) as Page
const seen = new Set(page.events.map((event) => event.event_id))
console.log(`listed ${page.events.length} events`)

// In a browser, EventSource does what follows.
for (let cursor = page.live_cursor; left > 0; ) {
  const response = await fetch(`http://${address}/v1/events/live?from=${cursor}`)
  let text = ''
  try {
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (text + part).split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
        cursor = field('id') ?? cursor
        const data = block.replace(/^(?!data: ).*\n?/gm, '').replace(/^data: /gm, '')
        if (field('event') === 'gap') console.log(`missed events: ${data}`)
        if (field('event') !== 'event' || seen.has(JSON.parse(data).event_id)) continue
        console.log(`got ${data}`)
        if (--left === 0) process.exit()
      }
    }
  } catch {
    // The connection broke: the next one goes on from the cursor.
  }
  await new Promise((resolve) => setTimeout(resolve, 1000))
}
