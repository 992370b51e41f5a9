// The commands of `millrace`: one table.
//
// Job: names, arguments, options and help; docs/cli.md is this table as a page. Each command's own file is loaded only
// when it runs, so that `millrace --help` and `millrace status` do not wait for the server's libraries.

import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import * as v from 'valibot'
import type { Config } from '../config/config.ts'
import { settings } from '../config/config-table.ts'
import { wholeNumber as wholeNumberSchema } from '../lib/text-value.ts'
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
  /** Two words where the first names a group of commands. */
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

/** What the commands about dead letters have in common. */
const deadLetterFilter: readonly OptionEntry[] = [
  { flags: '--topic <NAME>', description: 'only those of this topic' },
  { flags: '--group <NAME>', description: 'only those that this group gave up' },
  { flags: '--type <T>', description: 'only events of this type' },
  { flags: '--code <CODE>', description: 'only those that died with this code' },
  {
    flags: '--since <TIME>',
    description: 'died at this time or later: an RFC 3339 time, or how long ago, as 90s, 10m, 2h, 3d',
  },
  { flags: '--until <TIME>', description: 'died before this time' },
  {
    flags: '--redriven <WHICH>',
    description: 'yes: only those that were sent again; no: only the others',
    check: yesOrNo,
  },
]
const deadLetterIds = {
  flags: '[ID...]',
  description: 'dead letters by their ids; else all that the filter finds',
  check: (text: string) => text,
}
const anyDeadLetter = { flags: '--all', description: 'really all of them, where neither ids nor a filter are given' }
const dryRun = { flags: '--dry-run', description: 'only say how many it would be' }
const eventRate = {
  flags: '--rate <R>',
  description: 'events per second, 1 to 100000 (default 1000)',
  check: wholeNumber(1, 100_000),
}

const groupName = { flags: '<GROUP>', description: 'the name of the group', check: (text: string) => text }
const topicOfGroup = { flags: '--topic <NAME>', description: 'the topic of the group (default "events")' }

/** Of the commands whose name has two words. */
const groupDescriptions: Readonly<Record<string, string>> = {
  'dead-letters': 'Lists, shows, sends again and deletes what groups have given up.',
  groups: 'Lists, pauses, lets go on and deletes the consumer groups of the topics.',
}

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
    name: 'monitor',
    description: 'Shows what a running server does, as it does it; q ends it.',
    argument: { flags: '[SECONDS]', description: 'how long; without it until it is ended', check: wholeNumber(1, 1e6) },
    options: [
      {
        flags: '--interval <SECONDS>',
        description: 'from one look to the next, 0.2 to 60 (default 1)',
        check: watchInterval,
      },
    ],
    settings: clientSettings,
    load: () => import('./monitor.ts'),
  },
  {
    name: 'dead-letters list',
    description: 'Lists dead letters, newest first, or what they died of.',
    options: [
      ...deadLetterFilter,
      { flags: '--by-cause', description: 'count them by what they died of' },
      { flags: '--limit <N>', description: 'most dead letters to list (default 100)', check: wholeNumber(1, 1e6) },
    ],
    settings: clientSettings,
    load: () => import('./dead-letters-list.ts'),
  },
  {
    name: 'dead-letters show',
    description: 'Shows one dead letter: why it died, every try, and its event.',
    argument: { flags: '<ID>', description: 'the id of the dead letter', check: (text) => text },
    options: [],
    settings: clientSettings,
    load: () => import('./dead-letters-show.ts'),
  },
  {
    name: 'dead-letters redrive',
    description: 'Sends the events of dead letters to their groups again, and stops when one fails again.',
    argument: deadLetterIds,
    options: [
      ...deadLetterFilter,
      anyDeadLetter,
      dryRun,
      eventRate,
      { flags: '--edit', description: 'change the event’s data in $VISUAL or $EDITOR first; for one id' },
      { flags: '--data <F>', description: 'send this file’s content as the event’s data; - is stdin; for one id' },
      { flags: '--content-type <T>', description: 'media type of the new data, when it is another one' },
    ],
    settings: clientSettings,
    load: () => import('./dead-letters-redrive.ts'),
  },
  {
    name: 'dead-letters delete',
    description: 'Deletes dead letters for good. Asks first.',
    argument: deadLetterIds,
    options: [...deadLetterFilter, anyDeadLetter, dryRun, { flags: '--yes', description: 'do not ask' }],
    settings: clientSettings,
    load: () => import('./dead-letters-delete.ts'),
  },
  {
    name: 'groups list',
    description: 'Lists the consumer groups: what waits for each, what is in flight, who is paused and why.',
    options: [{ flags: '--topic <NAME>', description: 'only those of this topic' }],
    settings: clientSettings,
    load: () => import('./groups-list.ts'),
  },
  {
    name: 'groups pause',
    description: 'Pauses a group: nothing is handed out to it until it goes on, also after a restart.',
    argument: groupName,
    options: [topicOfGroup, { flags: '--reason <TEXT>', description: 'one line that the status shows' }],
    settings: clientSettings,
    load: () => import('./groups-pause.ts'),
  },
  {
    name: 'groups resume',
    description: 'Lets a group go on that was paused.',
    argument: groupName,
    options: [topicOfGroup],
    settings: clientSettings,
    load: () => import('./groups-resume.ts'),
  },
  {
    name: 'groups delete',
    description: 'Deletes a group for good, with all that waits for it. Asks first.',
    argument: groupName,
    options: [topicOfGroup, { flags: '--yes', description: 'do not ask' }],
    settings: clientSettings,
    load: () => import('./groups-delete.ts'),
  },
  {
    name: 'journey',
    description: 'Tells what became of one event: accepted, each try, landed or dead.',
    argument: {
      flags: '<ID>',
      description: 'the id that its producer gave it, or its event_id',
      check: (text) => text,
    },
    options: [{ flags: '--source <S>', description: 'its source; "/" for an id that is no UUID, when left out' }],
    settings: clientSettings,
    load: () => import('./journey.ts'),
  },
  {
    name: 'replay',
    description: 'Feeds what a group has settled, as far as the log still has it, to the group again.',
    options: [
      {
        flags: '--since <TIME>',
        description: 'received at this time or later: an RFC 3339 time, or how long ago, as 90s, 10m, 2h, 3d',
      },
      { flags: '--from <POSITION>', description: 'only this stream from there on, as "events/0/normal@1:5000"' },
      { flags: '--type <T>', description: 'only events of this type' },
      { flags: '--topic <NAME>', description: 'a declared topic (default "events")' },
      { flags: '--into <GROUP>', description: 'the group (default "landing")' },
      eventRate,
      dryRun,
    ],
    settings: clientSettings,
    load: () => import('./replay.ts'),
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
    description: 'Looks for what could keep a server from running: damage, services, versions, disk, ports.',
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
    description:
      'Removes all events and everything else of Millrace from the data directory, or from Redis. Asks first.',
    options: [{ flags: '--yes', description: 'do not ask' }],
    settings: ['dataDir', 'redisUrl', 'redisPrefix'],
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
  for (const entry of commands) {
    const [first = '', second] = entry.name.split(' ')
    if (second === undefined) program.addCommand(buildCommand(first, entry, setExitCode))
    else groupOf(program, first).addCommand(buildCommand(second, entry, setExitCode))
  }
  return program
}

function groupOf(program: Command, name: string): Command {
  const known = program.commands.find((command) => command.name() === name)
  if (known !== undefined) return known
  const group = new Command(name).description(groupDescriptions[name] ?? '').helpCommand(false)
  program.addCommand(
    group.showSuggestionAfterError().showHelpAfterError(`(millrace ${name} --help lists the commands)`),
  )
  return group
}

function buildCommand(name: string, entry: CommandEntry, setExitCode: (code: number) => void): Command {
  const command = new Command(name).description(entry.description).allowExcessArguments(false)
  if (entry.argument !== undefined) {
    const { flags, description, check } = entry.argument
    command.argument(flags, description, (text: string, previous: unknown) => {
      const checked = check(text)
      return flags.includes('...') ? [...((previous as string[] | undefined) ?? []), checked] : checked
    })
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
  const schema = wholeNumberSchema(min, max)
  return (text) => {
    if (v.is(schema, text)) return text
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

function yesOrNo(text: string): string {
  if (text === 'yes' || text === 'no') return text
  throw new InvalidArgumentError('It must be yes or no.')
}

function watchInterval(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= 0.2 && Number(text) <= 60) return text
  throw new InvalidArgumentError('It must be a number of seconds, from 0.2 to 60.')
}

function rate(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= 0.001 && Number(text) <= 1e9) return text
  throw new InvalidArgumentError('It must be a number of events per second, from 0.001 to 1000000000.')
}
