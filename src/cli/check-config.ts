// `millrace check-config`: prints the settings in effect, or every invalid setting.

import { ConfigError, describeConfig, loadConfig, warnings } from '../config/config.ts'
import { certificateWarning, readClientTls, readServerTls } from '../config/tls-files.ts'
import type { CommandInput } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { formatTable } from './table.ts'

export async function run({ configInput, terminal }: CommandInput): Promise<number> {
  try {
    const settings = describeConfig(configInput)
    const config = loadConfig(configInput)
    const serverTls = await readServerTls(config)
    await readClientTls(config)
    const ofCertificate = serverTls === null ? null : certificateWarning(serverTls, Date.now())
    for (const warning of [...warnings(config), ...(ofCertificate === null ? [] : [ofCertificate])]) {
      terminal.note(`warning: ${warning}`)
    }
    if (terminal.json) {
      terminal.printJson({ settings: settings.map(({ variable, value, source }) => ({ variable, value, source })) })
    } else {
      const rows = settings.map(({ variable, value, source }) => [variable, value ?? '–', source])
      terminal.print(formatTable(['SETTING', 'VALUE', 'FROM'], rows, terminal))
    }
    return exitCodes.done
  } catch (error) {
    if (!(error instanceof ConfigError) || !terminal.json) throw error
    terminal.printJson({ problems: error.problems })
    return exitCodes.failed
  }
}
