// `millrace dead-letters redrive`: sends the events of dead letters to their groups again.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Client } from '../client/connect.ts'
import { MillraceError } from '../errors.ts'
import { type RedriveRequest, rateLimits } from '../pipeline/administration.ts'
import { type CommandInput, textOption, UsageError } from './command.ts'
import { confirm, refuseWithoutTerminal } from './confirm.ts'
import { chosenDeadLettersOf } from './dead-letter-options.ts'
import { exitCodeOfSignal, exitCodes } from './exit-codes.ts'
import { ProgressBar } from './progress-bar.ts'
import { repeatCalls } from './repeat-calls.ts'
import { visibleText } from './shown-text.ts'
import { formatCount, formatCountOf } from './table.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const filter = chosenDeadLettersOf(input)
  const rate = Number(textOption(input, 'rate') ?? rateLimits.default)
  const isDryRun = input.options.dryRun === true
  checkEditing(input)
  const redrive = async (client: Client, editFile: string) => {
    const edit = await editOf(input, client, editFile)
    if (edit === null) {
      input.terminal.note('the data was not changed; nothing was sent')
      return exitCodes.failed
    }
    if (!(await confirmsEmptyData(input, edit))) {
      input.terminal.note('nothing was sent')
      return exitCodes.failed
    }
    return await redriveAll(input, client, { filter, rate, isDryRun, edit })
  }
  return await withClient(input, (client) => withEditFile(input, (editFile) => redrive(client, editFile)))
}

/**
 * Passes on the path of a temporary file, which does not exist yet. When the work fails and the file has content, it is kept
 * and named.
 */
async function withEditFile({ terminal }: CommandInput, work: (file: string) => Promise<number>): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-edit-'))
  const file = join(directory, 'data.json')
  let isKept = false
  try {
    return await work(file)
  } catch (thrown) {
    isKept = thrown instanceof MillraceError && existsSync(file) && !isBlank(readFileSync(file))
    if (isKept) terminal.note(`the edited data is kept in ${file}; --data sends it`)
    throw thrown
  } finally {
    if (!isKept) rmSync(directory, { recursive: true })
  }
}

async function redriveAll(input: CommandInput, client: Client, request: RedriveRequest): Promise<number> {
  const { terminal } = input
  const total = { matched: 0, redriven: 0, skipped: 0, failedAgain: 0 }
  let stopped: string | null = null
  const bar = new ProgressBar(terminal, () => ({
    share: total.matched === 0 ? null : total.redriven / total.matched,
    text: `${formatCount(total.redriven)} of ${formatCount(total.matched)} redriven`,
  }))
  const { signal, failure, isCutOff } = await repeatCalls(async (cursor, cutOff) => {
    const answer = await client.administration.redriveDeadLetters({ ...request, cursor }, { signal: cutOff })
    // Later calls match fewer, because redriven dead letters no longer match.
    total.matched = Math.max(total.matched, answer.matched)
    total.redriven += answer.redriven
    total.skipped += answer.skipped
    total.failedAgain += answer.failedAgain
    stopped = answer.stopped
    return answer
  }).finally(() => bar.close())
  const { matched, redriven, skipped, failedAgain } = total
  // After a refused call there is nothing to report.
  if (failure !== null && !isCutOff) throw failure
  if (terminal.json) terminal.printJson({ matched, redriven, skipped, failed_again: failedAgain, stopped })
  else if (request.isDryRun) terminal.print(`${formatCountOf(matched, 'dead letter')} would be redriven`)
  else
    terminal.print(
      `redriven ${formatCount(redriven)} of ${formatCount(matched)}, failed again ${failedAgain}, skipped ${skipped}`,
    )
  if (stopped !== null) terminal.note(`stopped: ${visibleText(stopped)}`)
  if (isCutOff) terminal.note('the last call was interrupted; dead letters that it redrove are not counted')
  if (failure !== null) throw failure
  if (signal !== null) return exitCodeOfSignal(signal)
  return stopped === null ? exitCodes.done : exitCodes.failed
}

function checkEditing(input: CommandInput): void {
  const isEdited = input.options.edit === true
  const file = textOption(input, 'data')
  if (isEdited && file !== undefined)
    throw new UsageError('--edit cannot be combined with --data; leave out one of them')
  if ((isEdited || file !== undefined) && input.arguments.length !== 1) {
    throw new UsageError('--edit and --data take exactly one dead letter; name it by its id')
  }
  if (textOption(input, 'contentType') !== undefined && !isEdited && file === undefined) {
    throw new UsageError('--content-type needs --data or --edit')
  }
}

/** Undefined without --edit and --data: the event is sent unchanged. Null when the user left the data unchanged. */
async function editOf(input: CommandInput, client: Client, editFile: string): Promise<RedriveRequest['edit'] | null> {
  const contentType = textOption(input, 'contentType')
  const file = textOption(input, 'data')
  if (file !== undefined)
    return { data: readFileSync(file === '-' ? 0 : resolve(input.configInput.cwd, file)), contentType }
  if (input.options.edit !== true) return undefined
  const { event } = await client.administration.getDeadLetter(input.arguments[0] ?? '')
  if (event === null)
    throw new MillraceError('failed_precondition', 'the dead letter is damaged and has no event to edit')
  const before = Buffer.from(event.data ?? [])
  const data = editInEditor(before, editFile, input.configInput.env)
  return data.equals(before) ? null : { data, contentType }
}

/** An editor that was left without saving, and a program that failed before `--data -`, leave empty data too. */
async function confirmsEmptyData({ options }: CommandInput, edit: RedriveRequest['edit']): Promise<boolean> {
  if (edit === undefined || !isBlank(edit.data) || options.yes === true || options.dryRun === true) return true
  refuseWithoutTerminal('redrive with empty data')
  return await confirm('The new data is empty. Redrive the event with empty data?')
}

/** Removes the line break that editors add at the end of a file. */
function withoutAddedLineBreak(data: Buffer, before: Buffer): Buffer {
  const lineBreak = 0x0a
  return data.at(-1) === lineBreak && before.at(-1) !== lineBreak ? data.subarray(0, -1) : data
}

function editInEditor(data: Buffer, file: string, env: Readonly<Record<string, string | undefined>>): Buffer {
  const editor = env.VISUAL || env.EDITOR || 'vi'
  writeFileSync(file, data)
  // Through the shell, because $EDITOR may contain options.
  const { status, error } = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' })
  const isRemoved = !existsSync(file)
  if (error === undefined && status === 0 && !isRemoved) return withoutAddedLineBreak(readFileSync(file), data)
  rmSync(file, { force: true })
  const fault = isRemoved ? 'removed the file' : 'failed'
  const message = `the editor "${editor}" ${fault} and nothing was sent; set $VISUAL or $EDITOR to another one`
  throw new MillraceError('failed_precondition', message, { cause: error })
}

function isBlank(data: Uint8Array): boolean {
  return Buffer.from(data).toString('latin1').trim() === ''
}
