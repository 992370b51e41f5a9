// The commands of `millrace`: one table.
//
// Job: names, arguments, options and help; docs/cli.md is this table as a page. Each command's own file is loaded only
// when it runs, so that `millrace --help` and `millrace status` do not wait for the server's libraries.

import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type Config, settings } from '../config.ts'
import { parseWholeNumber } from '../lib/text-value.ts'
import type { CommandModule } from './command.ts'
import { Terminal } from './terminal.ts'
import { readVersion } from './version.ts'

interface OptionEntry {
  readonly flags: string
  readonly description: string
  /** Refuses a value by throwing InvalidArgumentError. The option keeps its text. */
  readonly check?: (text: string) => string
}

interface CommandEntry {
  readonly name: string
  readonly description: string
  readonly argument?: { readonly flags: string; readonly description: string; readonly check: (text: string) => string }
  readonly options: readonly OptionEntry[]
  /** Settings that this command reads; each is a flag of its own. */
  readonly settings: readonly (keyof Config)[]
  readonly load: () => Promise<CommandModule>
}

const clientSettings = ['dataDir', 'address'] as const
const serverSettings = settings.map(({ key }) => key).filter((key) => key !== 'address')

const commands: readonly CommandEntry[] = [
  {
    name: 'start',
    description: 'Starts the server and runs until it is told to stop (SIGTERM or Ctrl-C).',
    options: [],
    settings: serverSettings,
    load: () => import('./start.ts'),
  },
  {
    name: 'produce',
    description: 'Publishes sample events, or those of a file, and says what became of them.',
    argument: { flags: '[N]', description: 'how many; without it all events of --file', check: wholeNumber(1, 1e12) },
    options: [
      { flags: '--rate <R>', description: 'events per second; without it as fast as they are taken', check: rate },
      { flags: '--type <T>', description: 'type of the sample events (default "sample.order")' },
      { flags: '--file <F>', description: 'publish the events of this NDJSON file instead; - is stdin' },
      { flags: '--topic <NAME>', description: 'a declared topic (default "events")' },
      {
        flags: '--batch <EVENTS>',
        description: 'most events in one message (default 1000)',
        check: wholeNumber(1, 1e5),
      },
      {
        flags: '--payload <BYTES>',
        description: 'size of a sample event’s data (default 200)',
        check: wholeNumber(8, 1e6),
      },
    ],
    settings: clientSettings,
    load: () => import('./produce.ts'),
  },
  {
    name: 'status',
    description: 'Shows how a running server is and where its events are.',
    options: [],
    settings: clientSettings,
    load: () => import('./status.ts'),
  },
  {
    name: 'check-config',
    description: 'Shows every setting with its value and where that came from, or everything that is wrong.',
    options: [],
    settings: settings.map(({ key }) => key),
    load: () => import('./check-config.ts'),
  },
  {
    name: 'doctor',
    description: 'Looks for what could keep a server from running: damage, versions, disk, ports.',
    options: [
      { flags: '--repair', description: 'mend a damaged log: keep what can be read, and the old file beside it' },
    ],
    settings: serverSettings,
    load: () => import('./doctor.ts'),
  },
  {
    name: 'migrate',
    description: 'Brings the tables of the PostgreSQL database to this version, with a role that may make tables.',
    options: [],
    settings: ['postgresUrl'],
    load: () => import('./migrate.ts'),
  },
  {
    name: 'clean',
    description: 'Removes all events and everything else of Millrace from the data directory. Asks first.',
    options: [{ flags: '--yes', description: 'do not ask' }],
    settings: ['dataDir'],
    load: () => import('./clean.ts'),
  },
  {
    name: 'version',
    description: 'Says which Millrace, Node and SQLite these are.',
    options: [],
    settings: [],
    load: () => import('./version.ts'),
  },
]

/** @param setExitCode called with the exit code of the command that ran. */
export function buildProgram(setExitCode: (code: number) => void = () => {}): Command {
  const program = new Command('millrace')
    .description(
      'Takes events over gRPC and HTTP, keeps them in a durable log and lands each in a database exactly once.',
    )
    .version(readVersion(), '--version', 'print the version')
    .addOption(new Option('--output <FORM>', 'how data is printed').choices(['table', 'json']).default('table'))
    .option('--no-color', 'print without colours, as NO_COLOR does')
    .helpCommand(false)
    .showSuggestionAfterError()
    .showHelpAfterError('(millrace --help lists the commands, millrace COMMAND --help their options)')
  for (const entry of commands) program.addCommand(buildCommand(entry, setExitCode))
  return program
}

function buildCommand(entry: CommandEntry, setExitCode: (code: number) => void): Command {
  const command = new Command(entry.name).description(entry.description).allowExcessArguments(false)
  if (entry.argument !== undefined) {
    const { flags, description, check } = entry.argument
    command.argument(flags, description, check)
  }
  for (const { flags, description, check } of entry.options) {
    const option = new Option(flags, description)
    command.addOption(check === undefined ? option : option.argParser(check))
  }
  for (const setting of settings.filter(({ key }) => entry.settings.includes(key))) {
    const fallback = setting.default === null ? '' : `, default ${setting.default}`
    const option = new Option(`${setting.flag} <value>`, `${setting.description} [${setting.variable}${fallback}]`)
    command.addOption(option)
  }
  command.action(async () => {
    const { output, color, ...options } = command.optsWithGlobals()
    const { run } = await entry.load()
    const code = await run({
      arguments: command.args,
      options,
      configInput: {
        env: process.env,
        flags: options,
        cwd: process.cwd(),
        readFile: (path) => readFileSync(path, 'utf8'),
      },
      terminal: new Terminal({ json: output === 'json', color: color !== false }),
    })
    setExitCode(code)
  })
  return command
}

function wholeNumber(min: number, max: number): (text: string) => string {
  return (text) => {
    if ('value' in parseWholeNumber(text, min, max)) return text
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

function rate(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= 0.001 && Number(text) <= 1e9) return text
  throw new InvalidArgumentError('It must be a number of events per second, from 0.001 to 1000000000.')
}
