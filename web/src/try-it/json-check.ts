// What is wrong with JSON that a person writes, before it is sent. What an event may have in it, the server says.

/** Null when the text is one JSON object. */
export function objectProblem(text: string): string | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (thrown) {
    return `This is not JSON: ${placed((thrown as Error).message)}`
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? null
    : 'This must be one JSON object, in { and }.'
}

/** Null when the text can be published as one event. */
export function eventProblem(text: string): string | null {
  const problem = objectProblem(text)
  if (problem !== null) return problem
  const { type, id } = JSON.parse(text)
  if (id === '') return 'id is empty: leave it out, and the event gets one.'
  if (typeof type === 'string' && type !== '') return null
  return 'type is missing: it names what has happened, as in "type": "order.placed".'
}

/** The line and the column stand alone; browsers add a position that nobody can count. */
function placed(message: string): string {
  return message.replace(/^JSON\.parse: /, '').replace(/ in JSON at position \d+ \((.*)\)$/, ' at $1')
}
