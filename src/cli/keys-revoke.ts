// `millrace keys revoke`: ends an API key for good.

import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { withClient } from './with-client.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal } = input
  const [keyId = ''] = input.arguments
  await withClient(input, ({ keys }) => keys.revoke(keyId))
  if (terminal.json) terminal.printJson({ key_id: keyId })
  else terminal.print(`key ${keyId} is revoked; servers that share the database refuse it within 5 s`)
  return exitCodes.done
}
