// `millrace upload`: sends a file to a server and prints what is stored there.

import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { storedFileJson } from '../api/http/file-json.ts'
import type { Client } from '../client/connect.ts'
import type { UploadedFile, UploadFileOptions } from '../client/files-client.ts'
import { MillraceError, toMillraceError } from '../errors.ts'
import { EventIdGenerator } from '../event/event.ts'
import { sleep } from '../lib/abort.ts'
import { type CommandInput, textOption } from './command.ts'
import { exitCodeOfSignal, exitCodes } from './exit-codes.ts'
import { Interruption } from './interruption.ts'
import { ProgressBar } from './progress-bar.ts'
import { formatCount, formatTable } from './table.ts'
import { withClient } from './with-client.ts'

/** How often the server is asked how much it has flushed. */
const askEveryMs = 250

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const interruption = new Interruption()
  try {
    const file = await withClient(input, (client) => upload(input, client, interruption.signal)).catch((thrown) => {
      throw isOfFileSystem(thrown) ? unreadable(input.arguments[0]!, thrown) : thrown
    })
    if (terminal.json) terminal.print(storedFileJson(file))
    else {
      const row = [file.fileId, formatCount(file.size), file.sha256, file.analysis ?? 'none yet']
      terminal.print(formatTable(['FILE ID', 'BYTES', 'SHA-256', 'ANALYSIS'], [row], terminal))
    }
    return exitCodes.done
  } catch (thrown) {
    if (interruption.received === null) throw thrown
    return exitCodeOfSignal(interruption.received)
  } finally {
    interruption.close()
  }
}

async function upload(input: CommandInput, client: Client, signal: AbortSignal): Promise<UploadedFile> {
  const { terminal, configInput } = input
  const [name = ''] = input.arguments
  const path = resolve(configInput.cwd, name)
  const isStdin = name === '-'
  const fileId = textOption(input, 'id') ?? new EventIdGenerator().next()
  const options: UploadFileOptions = {
    ...{ fileId, signal, contentType: textOption(input, 'contentType') ?? '' },
    filename: textOption(input, 'name') ?? (isStdin ? '' : basename(path)),
  }
  const about = isStdin ? null : await stat(path)
  const size = about?.isFile() ? about.size : null
  let synced = 0
  let isStored = false
  const bar = new ProgressBar(terminal, () => {
    if (isStored) return { share: 1, text: 'stored, waiting for its analysis' }
    const of = size === null ? '' : ` of ${formatCount(size)}`
    return {
      share: size === null || size === 0 ? null : synced / size,
      text: `${formatCount(synced)}${of} bytes flushed`,
    }
  })
  const over = new AbortController()
  const follow = async () => {
    while (!over.signal.aborted && !isStored) {
      await sleep(askEveryMs, over.signal)
      try {
        synced = (await client.files.uploadState(fileId)).synced
      } catch (thrown) {
        // Its header was sent before the question: an upload that has ended without an answer is stored.
        isStored = toMillraceError(thrown).code === 'not_found'
      }
    }
  }
  void follow()
  try {
    return await client.upload(isStdin ? process.stdin : path, options)
  } catch (thrown) {
    const what = isStored ? `the file is stored, as ${fileId}` : 'nothing of the file is stored'
    if (signal.aborted) terminal.note(`interrupted: ${what}`)
    throw thrown
  } finally {
    over.abort()
    bar.close()
  }
}

function isOfFileSystem(thrown: unknown): thrown is Error {
  return thrown instanceof Error && !(thrown instanceof MillraceError) && 'syscall' in thrown
}

function unreadable(name: string, cause: Error): MillraceError {
  return new MillraceError('invalid_event', `${name} cannot be read: ${cause.message}`, { field: 'FILE', cause })
}
