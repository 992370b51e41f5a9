// `millrace keys create`: makes an API key and prints it, alone, on stdout.

import type { Scope } from '../pipeline/keys.ts'
import { keyDescription } from '../wire/keys.ts'
import { type CommandInput, textOption } from './command.ts'
import { secondsOf } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const [name = ''] = input.arguments
  const rate = textOption(input, 'rate')
  const { key, description } = await withClient(input, ({ keys }) =>
    keys.create({
      name,
      scopes: (listOption(input, 'scopes') ?? []) as Scope[],
      topics: listOption(input, 'topics'),
      types: listOption(input, 'types'),
      ratePerSecond: rate === undefined ? null : Number(rate),
      expiresInSeconds: secondsOf('--expires', textOption(input, 'expires')),
    }),
  )
  if (terminal.json) {
    terminal.printJson({ key, ...keyDescription.toJson(description) })
  } else {
    terminal.print(key)
    terminal.note(`key ${description.keyId} of ${name} is made; it is shown this once: keep it as MILLRACE_KEY`)
  }
  return exitCodes.done
}

/** A comma-separated list. */
function listOption(input: CommandInput, name: string): readonly string[] | null {
  return (
    textOption(input, name)
      ?.split(',')
      .map((part) => part.trim()) ?? null
  )
}
