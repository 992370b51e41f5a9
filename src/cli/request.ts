// `millrace request`: asks the workers of a type.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Client } from '../client/connect.ts'
import { MillraceError, toMillraceError } from '../errors.ts'
import { isJsonContentType } from '../event/event.ts'
import type { RequestAnswer } from '../pipeline/requests.ts'
import { type CommandInput, textOption, UsageError } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { withClient } from './with-client.ts'

const defaultWaitSeconds = 30

/** For the connection, and for an answer that comes at the end of the wait. */
const marginMs = 1000

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const answer = await withClient(input, (client) => ask(input, client)).catch((thrown) => {
    const { outcomeUnknown, logFields } = toMillraceError(thrown)
    if (outcomeUnknown && logFields !== undefined)
      terminal.note(`it may run: ask for its reply, or send it again, with the id ${logFields.request_id}`)
    throw thrown
  })
  const { requestId, stage, reply } = answer
  if (reply === null) {
    const isWaiting = input.options.wait !== false
    if (terminal.json) terminal.printJson({ request_id: requestId, stage })
    else if (!isWaiting) terminal.print(requestId)
    else throw new MillraceError('deadline_exceeded', `no reply to request ${requestId} yet: it is ${stage}`)
    return isWaiting ? exitCodes.failed : exitCodes.done
  }
  const { data, dataContentType, attempts } = reply
  if (!terminal.json) {
    const isText = isJsonContentType(dataContentType) || dataContentType.startsWith('text/')
    terminal.printBytes(data, isText)
    return exitCodes.done
  }
  terminal.printJson({
    request_id: requestId,
    content_type: dataContentType,
    attempts,
    ...shown(data, dataContentType),
  })
  return exitCodes.done
}

function ask(input: CommandInput, client: Client): Promise<RequestAnswer> {
  const [type = ''] = input.arguments
  const isWaiting = input.options.wait !== false
  const waitMs = isWaiting ? Number(textOption(input, 'wait') ?? defaultWaitSeconds) * 1000 : 0
  const earlier = textOption(input, 'reply')
  if (earlier !== undefined) {
    if (input.arguments.length > 1) throw new UsageError('--reply takes no DATA: it sends nothing')
    return client.getReply(earlier, { type, waitMs, deadlineMs: waitMs + marginMs })
  }
  const data = dataOf(input)
  const dataContentType = textOption(input, 'contentType') ?? (isJson(data) ? 'application/json' : 'text/plain')
  const request = { type, data, dataContentType, requestId: textOption(input, 'id') ?? '' }
  if (!isWaiting) return client.sendRequest(request)
  return client
    .request(request, { deadlineMs: waitMs })
    .then((reply) => ({ requestId: reply.requestId, stage: 'replied', reply }))
}

function dataOf({ arguments: [, text = ''], configInput }: CommandInput): Buffer {
  if (text === '-') return readFileSync(0)
  return text.startsWith('@') ? readFileSync(resolve(configInput.cwd, text.slice(1))) : Buffer.from(text)
}

function isJson(data: Buffer): boolean {
  try {
    JSON.parse(data.toString())
    return true
  } catch {
    return false
  }
}

/** The data as JSON, text, or base64. */
function shown(data: Uint8Array, contentType: string): object {
  const bytes = Buffer.from(data)
  if (isJsonContentType(contentType) && isJson(bytes)) return { data: JSON.parse(bytes.toString()) }
  return contentType.startsWith('text/') ? { data: bytes.toString() } : { data_base64: bytes.toString('base64') }
}
