// Makes the objects of commander from the table of commands: their help, their parsing and the call of the command.

import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { type Setting, settings } from '../config/config-table.ts'
import { type CommandEntry, commands, groupDescriptions } from './command-table.ts'
import { helpTextOf, programHelp } from './help-texts.ts'
import type { Surroundings } from './surroundings.ts'
import { Terminal } from './terminal.ts'
import { readVersion } from './version.ts'

/**
 * Parsing throws a CommanderError instead of ending the process.
 * @param setExitCode is called with the exit code of the command that ran.
 */
export function buildProgram(surroundings: Surroundings, setExitCode: (code: number) => void): Command {
  const newCommand = (name: string) =>
    new Command(name).exitOverride().configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
    })
  const program = newCommand('millrace')
    .description(
      'Takes events over gRPC and HTTP, keeps them in a durable log and lands each in a database exactly once.',
    )
    .version(readVersion(), '--version', 'print the version')
    .addOption(new Option('--output <FORM>', 'output format').choices(['table', 'json']).default('table'))
    .option('--no-color', 'print without colours, as with NO_COLOR=1')
    .helpCommand(false)
    .showSuggestionAfterError()
    .showHelpAfterError('(millrace --help lists the commands, millrace COMMAND --help their options)')
    .addHelpText('after', programHelp)
  for (const entry of commands) {
    const [first = '', second] = entry.name.split(' ')
    const command = newCommand(second ?? first)
    addEntry(command, entry, surroundings, setExitCode)
    const parent = second === undefined ? program : groupOf(program, first, newCommand)
    parent.addCommand(command)
  }
  return program
}

function groupOf(program: Command, name: string, newCommand: (name: string) => Command): Command {
  const known = program.commands.find((command) => command.name() === name)
  if (known !== undefined) return known
  const group = newCommand(name)
    .description(groupDescriptions[name] ?? '')
    .helpCommand(false)
    .addHelpText('after', helpTextOf(name))
  program.addCommand(
    group.showSuggestionAfterError().showHelpAfterError(`(millrace ${name} --help lists the commands)`),
  )
  return group
}

function addEntry(
  command: Command,
  entry: CommandEntry,
  { env, cwd, stdout, stderr }: Surroundings,
  setExitCode: (code: number) => void,
): void {
  command
    .description(entry.description)
    .allowExcessArguments(false)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', helpTextOf(entry.name))
  for (const argument of [entry.argument, entry.secondArgument]) {
    if (argument === undefined) continue
    const { flags, description, check } = argument
    command.argument(flags, description, (text: string, previous: unknown) => {
      const checked = check(text)
      return flags.includes('...') ? [...((previous as string[] | undefined) ?? []), checked] : checked
    })
  }
  for (const { flags, description, check } of entry.options) {
    const option = new Option(flags, description)
    command.addOption(check === undefined ? option : option.argParser(check))
  }
  const ownSettings = settings.filter(({ key }) => entry.settings.includes(key))
  for (const setting of ownSettings) {
    command.addOption(settingOption(setting, entry.settingDescriptions?.[setting.key] ?? setting.description))
  }
  command.action(async () => {
    const { output, color, ...options } = command.optsWithGlobals()
    const { run } = await entry.load()
    // Only the flags of settings: an option of the command may have the name of a setting that it does not read.
    const flags = Object.fromEntries(ownSettings.map(({ option }) => [option, options[option]]))
    const code = await run({
      arguments: command.args,
      options,
      configInput: {
        env,
        flags,
        cwd,
        readFile: (path) => readFileSync(path, 'utf8'),
      },
      terminal: new Terminal({ json: output === 'json', color: color !== false, stdout, stderr }),
    })
    setExitCode(code)
  })
}

const unitNames = { bytes: 'BYTES', events: 'EVENTS', milliseconds: 'MS' } as const

function settingOption(setting: Setting, description: string): Option {
  const { flag, variable, unit, allowed, example, isSecret, isKey } = setting
  const names = isSecret === true ? `${variable}, or ${variable}_FILE for a file that holds it` : variable
  const value = setting.default === null ? `for example ${example}` : `default ${setting.default}`
  const option = new Option(
    `${flag} <${isKey === true ? 'FILE' : unit === null ? 'VALUE' : unitNames[unit]}>`,
    `${description} Value: ${allowed}. [${names}; ${value}]`,
  )
  return option.helpGroup('Settings (flag or environment variable):')
}
