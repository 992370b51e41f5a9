// The commands of `millrace`: one table.
//
// Job: names, descriptions, arguments and options; docs/cli.md is this table as a page. Each command's own file is loaded
// only when it runs, so that `millrace --help` and `millrace status` do not load the server's libraries.
// Not its job: what --help prints below the options (help-texts.ts), the objects of commander (build-program.ts).

import { InvalidArgumentError } from 'commander'
import * as v from 'valibot'
import type { Config } from '../config/config.ts'
import { settings } from '../config/config-table.ts'
import { wholeNumber as wholeNumberSchema } from '../lib/text-value.ts'
import type { CommandModule } from './command.ts'

interface OptionEntry {
  readonly flags: string
  readonly description: string
  /** Returns the text unchanged; throws InvalidArgumentError when it is not allowed. */
  readonly check?: (text: string) => string
  /** Whether it may be given several times: its value is then all of them. */
  readonly repeats?: true
}

interface ArgumentEntry {
  readonly flags: string
  readonly description: string
  readonly check: (text: string) => string
}

type SettingDescriptions = Readonly<Partial<Record<keyof Config, string>>>

export interface CommandEntry {
  /** One word, or two where the first names a group of commands. */
  readonly name: string
  readonly description: string
  readonly argument?: ArgumentEntry
  readonly secondArgument?: ArgumentEntry
  readonly options: readonly OptionEntry[]
  /** Settings that this command reads; each becomes a flag. */
  readonly settings: readonly (keyof Config)[]
  /** Replaces the description of a setting in the help of this command. */
  readonly settingDescriptions?: SettingDescriptions
  readonly load: () => Promise<CommandModule>
}

/** How a command reaches a server. */
const onlyForClients = ['address', 'key', 'tlsCa', 'tlsClientCert', 'tlsClientKey'] as const
const clientSettings = ['dataDir', ...onlyForClients] as const
/** Those of TLS are also for the calls of a gateway. */
const serverSettings = settings.map(({ key }) => key).filter((key) => key !== 'address' && key !== 'key')

/** Descriptions of settings for commands that use them in another way than the server. */
const clientDescriptions: SettingDescriptions = {
  dataDir:
    'Data directory of a server on this machine; the command reads the server address from `addresses.json` there.',
}

const timeForms = 'RFC 3339, or an age such as 90s, 10m, 2h, 3d'

/** The filter that the commands about dead letters share. */
const deadLetterFilter: readonly OptionEntry[] = [
  { flags: '--topic <NAME>', description: 'only dead letters of this topic, for example events' },
  { flags: '--group <NAME>', description: 'only dead letters of this group, for example landing' },
  { flags: '--type <T>', description: 'only events of this type, for example order.paid' },
  { flags: '--code <CODE>', description: 'only dead letters with this error code, for example refused_by_store' },
  { flags: '--since <TIME>', description: `died at this time or later: ${timeForms}` },
  { flags: '--until <TIME>', description: `died before this time: ${timeForms}` },
  {
    flags: '--redriven <WHICH>',
    description: 'yes: only those that were redriven (sent to their group again); no: only the others',
    check: yesOrNo,
  },
]
const deadLetterIds = {
  flags: '[ID...]',
  description: 'ids of dead letters, at most 1000 (default: all that match the filter)',
  check: (text: string) => text,
}
const anyDeadLetter = {
  flags: '--all',
  description: 'all dead letters; required when neither ids nor a filter are given',
}
const dryRun = { flags: '--dry-run', description: 'print how many events it would affect, and change nothing' }
const yes = { flags: '--yes', description: 'do not ask for confirmation' }
const eventRate = {
  flags: '--rate <R>',
  description: 'max events per second, 1 to 100000 (default 1000)',
  check: wholeNumber(1, 100_000),
}

const resumeRate = {
  flags: '--rate <R>',
  description: 'max events per second, 1 to 100000, in all processes together (default: no limit)',
  check: wholeNumber(1, 100_000),
}

const groupName = {
  flags: '<GROUP>',
  description: 'name of the group, for example landing',
  check: (text: string) => text,
}
const topicOfGroup = { flags: '--topic <NAME>', description: 'topic of the group (default "events")' }

/** Descriptions of the groups of commands. */
export const groupDescriptions: Readonly<Record<string, string>> = {
  'dead-letters': 'Lists, shows, redrives and deletes dead letters: events that a consumer group gave up.',
  keys: 'Makes, lists, revokes and checks API keys: who may call, and what for.',
  groups: 'Lists, pauses, resumes and deletes the consumer groups of the topics, and releases their held keys.',
}

export const commands: readonly CommandEntry[] = [
  {
    name: 'start',
    description: 'Starts the server and runs until SIGTERM or Ctrl-C.',
    options: [
      {
        flags: '--paused',
        description: 'pause all groups but landing first: events are accepted and land, and no handler works on them',
      },
    ],
    settings: serverSettings,
    load: () => import('./start.ts'),
  },
  {
    name: 'produce',
    description: 'Publishes sample events, or the events of a file, and prints how many were accepted.',
    argument: {
      flags: '[N]',
      description: 'number of events; required without --file, else the default is the whole file',
      check: wholeNumber(1, 1e12),
    },
    options: [
      {
        flags: '--rate <R>',
        description: 'events per second, 0.001 to 1000000000 (default: as fast as the server accepts)',
        check: rate,
      },
      { flags: '--type <T>', description: 'type of the sample events (default "sample.order")' },
      { flags: '--file <F>', description: 'publish this NDJSON file, one JSON event per line; - is stdin' },
      { flags: '--topic <NAME>', description: 'topic to publish to (default "events")' },
      {
        flags: '--batch <EVENTS>',
        description: 'max events in one message, 1 to 100000 (default 1000)',
        check: wholeNumber(1, 1e5),
      },
      {
        flags: '--payload <BYTES>',
        description: 'size of the data of a sample event, 8 to 1000000 bytes (default 200)',
        check: wholeNumber(8, 1e6),
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./produce.ts'),
  },
  {
    name: 'request',
    description: 'Asks the workers of a type, and prints their reply.',
    argument: {
      flags: '<TYPE>',
      description: 'what is asked for, for example text.analyze',
      check: (text) => text,
    },
    secondArgument: {
      flags: '[DATA]',
      description: 'the data: a text, @FILE for the content of a file, - for stdin (default: none)',
      check: (text) => text,
    },
    options: [
      { flags: '--id <ID>', description: 'id of the request (default: a new one); sent again, it gets the same reply' },
      {
        flags: '--content-type <T>',
        description: 'media type of the data (default: application/json if the data is JSON, else text/plain)',
      },
      {
        flags: '--wait <SECONDS>',
        description: 'deadline of the request, and how long to wait for its reply, 1 to 300 (default 30)',
        check: wholeNumber(1, 300),
      },
      { flags: '--no-wait', description: 'do not wait: print the id of the request' },
      { flags: '--reply <ID>', description: 'send nothing: print the reply to the request with this id' },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./request.ts'),
  },
  {
    name: 'upload',
    description: 'Uploads a file, and prints its id, its SHA-256 and its analysis.',
    argument: { flags: '<FILE>', description: 'path of the file; - is stdin', check: (text) => text },
    options: [
      { flags: '--name <NAME>', description: 'file name to store, without directories (default: that of FILE)' },
      { flags: '--content-type <T>', description: 'media type of the file (default: application/octet-stream)' },
      { flags: '--id <ID>', description: 'a UUID, the id of the file (default: a new one)' },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./upload.ts'),
  },
  {
    name: 'status',
    description: 'Shows the state of a running server: groups, waiting events and the ledger.',
    options: [],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./status.ts'),
  },
  {
    name: 'monitor',
    description: 'Shows live rates, backlogs and warnings of a running server; q quits.',
    argument: {
      flags: '[SECONDS]',
      description: 'how long to run, 1 to 1000000 (default: until q or Ctrl-C)',
      check: wholeNumber(1, 1e6),
    },
    options: [
      {
        flags: '--interval <SECONDS>',
        description: 'time between two updates, 0.2 to 60 seconds (default 1)',
        check: watchInterval,
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./monitor.ts'),
  },
  {
    name: 'tail',
    description: 'Prints events as they are accepted, until Ctrl-C; with --from also those before.',
    options: [
      { flags: '--topic <NAME>', description: 'topic to follow (default "events")' },
      {
        flags: '--type <GLOB>',
        description: 'only events of this type, for example order.*; repeatable',
        repeats: true,
      },
      { flags: '--source <S>', description: 'only events of this source; repeatable', repeats: true },
      { flags: '--subject <PREFIX>', description: 'only events whose subject begins so; repeatable', repeats: true },
      {
        flags: '--attribute <NAME=VALUE>',
        description: 'only events with this attribute; repeated: with all of them',
        check: attribute,
        repeats: true,
      },
      {
        flags: '--from <WHERE>',
        description: `now (the default), earliest, a cursor, or the time of receipt: ${timeForms}, or -10m`,
      },
      {
        flags: '--on-slow <RULE>',
        description: 'when the output is too slow: drop_oldest (the default), latest_per_key, or disconnect',
        check: oneOf('drop_oldest', 'latest_per_key', 'disconnect'),
      },
      {
        flags: '--count <N>',
        description: 'end after so many events (default: at Ctrl-C)',
        check: wholeNumber(1, 1e12),
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./tail.ts'),
  },
  {
    name: 'dead-letters list',
    description: 'Lists dead letters, newest first, or counts them by cause.',
    options: [
      ...deadLetterFilter,
      { flags: '--by-cause', description: 'count by topic, group, type, error code and message instead of listing' },
      {
        flags: '--limit <N>',
        description: 'max dead letters to list, 1 to 1000000 (default 100)',
        check: wholeNumber(1, 1e6),
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./dead-letters-list.ts'),
  },
  {
    name: 'dead-letters show',
    description: 'Shows one dead letter: its error, each attempt, and its event.',
    argument: {
      flags: '<ID>',
      description: 'id of the dead letter, as printed by "dead-letters list"',
      check: (text) => text,
    },
    options: [],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./dead-letters-show.ts'),
  },
  {
    name: 'dead-letters redrive',
    description: 'Sends the events of dead letters to their groups again; stops when one dies again.',
    argument: deadLetterIds,
    options: [
      ...deadLetterFilter,
      anyDeadLetter,
      dryRun,
      eventRate,
      {
        flags: '--edit',
        description: 'edit the event’s data in $VISUAL or $EDITOR (default vi) first; for a single ID',
      },
      { flags: '--data <F>', description: 'replace the event’s data with this file; - is stdin; for a single ID' },
      {
        flags: '--content-type <T>',
        description: 'media type of the new data, for example application/json (default: unchanged)',
      },
      { flags: '--yes', description: 'do not ask when the new data is empty' },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./dead-letters-redrive.ts'),
  },
  {
    name: 'dead-letters delete',
    description: 'Deletes dead letters for good. Asks for confirmation.',
    argument: deadLetterIds,
    options: [...deadLetterFilter, anyDeadLetter, dryRun, yes],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./dead-letters-delete.ts'),
  },
  {
    name: 'groups list',
    description:
      'Lists the consumer groups: events waiting, how many of them are ready, scheduled, held or in flight, and whether they move.',
    options: [{ flags: '--topic <NAME>', description: 'only groups of this topic, for example events' }],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./groups-list.ts'),
  },
  {
    name: 'groups pause',
    description: 'Pauses a group: it gets no events until it is resumed, even after a restart.',
    argument: groupName,
    options: [
      topicOfGroup,
      {
        flags: '--reason <TEXT>',
        description: 'shown by "status" and "groups list": one line, at most 200 characters',
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./groups-pause.ts'),
  },
  {
    name: 'groups resume',
    description: 'Resumes a group that was paused with "groups pause", at full speed or at a rate.',
    argument: groupName,
    options: [topicOfGroup, resumeRate],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./groups-resume.ts'),
  },
  {
    name: 'groups keys',
    description: 'Lists the keys whose events wait for a failing one, or lets that one go.',
    argument: groupName,
    options: [
      topicOfGroup,
      { flags: '--retry <KEY>', description: 'give the first event of this key one more attempt now' },
      { flags: '--release <KEY>', description: 'give the first event of this key all its attempts again' },
      { flags: '--skip <KEY>', description: 'make the first event of this key a dead letter: the key goes on' },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./groups-keys.ts'),
  },
  {
    name: 'groups delete',
    description: 'Deletes a group for good and abandons the events waiting for it. Asks for confirmation.',
    argument: groupName,
    options: [topicOfGroup, yes],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./groups-delete.ts'),
  },
  {
    name: 'agents',
    description: 'Lists the agents that have sent heartbeats: whether each is online, and when it was last seen.',
    options: [
      {
        flags: '--limit <N>',
        description: 'max agents to list, 1 to 1000000 (default 100)',
        check: wholeNumber(1, 1e6),
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./agents.ts'),
  },
  {
    name: 'keys create',
    description: 'Makes an API key and prints it: this once, because it is stored nowhere.',
    argument: {
      flags: '<NAME>',
      description: 'whose key it is: 1 to 64 of A-Z a-z 0-9 . _ -; two keys of a name may be valid',
      check: (text) => text,
    },
    options: [
      {
        flags: '--scopes <LIST>',
        description: 'what it is for, separated by commas: publish, subscribe, work, read, operate, admin (required)',
      },
      { flags: '--topics <LIST>', description: 'patterns of topics, for example orders,eu.* (default: all)' },
      { flags: '--types <LIST>', description: 'patterns of types, for example order.** (default: all)' },
      { flags: '--expires <TIME>', description: 'how long it is valid, for example 12h or 30d (default: for ever)' },
      {
        flags: '--rate <R>',
        description: 'max events per second, 1 to 1000000 (default: no limit of its own)',
        check: wholeNumber(1, 1_000_000),
      },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./keys-create.ts'),
  },
  {
    name: 'keys list',
    description: 'Lists the API keys: what each is for, whether it is valid, and when it was last used.',
    options: [],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./keys-list.ts'),
  },
  {
    name: 'keys revoke',
    description: 'Ends an API key for good; streams that it has opened end within 5 s.',
    argument: { flags: '<ID>', description: 'id of the key, as "keys list" shows it', check: (text) => text },
    options: [],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./keys-revoke.ts'),
  },
  {
    name: 'keys check',
    description: 'Tells whether a text is a key, and what the server lets it do, if one answers.',
    argument: { flags: '<KEY>', description: 'the key, or - to read it from stdin', check: (text) => text },
    options: [],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./keys-check.ts'),
  },
  {
    name: 'journey',
    description: 'Shows what happened to one event and when: accepted, each attempt of a handler, landed or dead.',
    argument: {
      flags: '<ID>',
      description: 'id that the producer gave the event, or its event_id',
      check: (text) => text,
    },
    options: [
      { flags: '--source <S>', description: 'source of the event (default "/"); not needed when ID is a UUID' },
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./journey.ts'),
  },
  {
    name: 'replay',
    description: 'Delivers events that a group has settled to that group again, as far as the log still has them.',
    options: [
      { flags: '--since <TIME>', description: `received at this time or later: ${timeForms}` },
      {
        flags: '--from <POSITION>',
        description: 'only the stream of this position, from there on, for example "events/0/normal@1:5000"',
      },
      { flags: '--type <T>', description: 'only events of this type, for example order.paid' },
      { flags: '--topic <NAME>', description: 'topic of the group (default "events")' },
      { flags: '--into <GROUP>', description: 'the group (default "landing")' },
      eventRate,
      dryRun,
    ],
    settings: clientSettings,
    settingDescriptions: clientDescriptions,
    load: () => import('./replay.ts'),
  },
  {
    name: 'check-config',
    description: 'Prints every setting with its value and where that came from, or every invalid setting.',
    options: [],
    settings: settings.map(({ key }) => key),
    load: () => import('./check-config.ts'),
  },
  {
    name: 'doctor',
    description: 'Checks what could keep a server from running: data files, services, versions, disk space, ports.',
    options: [
      {
        flags: '--repair',
        description: 'repair a damaged log: copy what can be read into a new file, keep the old file',
      },
      {
        flags: '--audit',
        description: 'count everything that waits for each paused group, and compare it with the counters',
      },
    ],
    settings: serverSettings,
    load: () => import('./doctor.ts'),
  },
  {
    name: 'migrate',
    description: 'Creates or updates the tables in PostgreSQL; needs a role that may create tables.',
    options: [],
    settings: ['postgresUrl'],
    settingDescriptions: { postgresUrl: 'The PostgreSQL database to migrate. Required.' },
    load: () => import('./migrate.ts'),
  },
  {
    name: 'clean',
    description:
      'Deletes all events and other data of Millrace in the data directory, or on Redis. Asks for confirmation.',
    options: [yes],
    settings: ['dataDir', 'redisUrl', 'redisPrefix'],
    settingDescriptions: {
      dataDir: 'The directory to clean.',
      redisUrl: 'The Redis to clean instead of the data directory.',
      redisPrefix: 'Keys that begin with this prefix and a colon are deleted.',
    },
    load: () => import('./clean.ts'),
  },
  {
    name: 'version',
    description: 'Prints the versions of Millrace, Node and SQLite.',
    options: [],
    settings: [],
    load: () => import('./version.ts'),
  },
]

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

function oneOf(...names: readonly string[]): (text: string) => string {
  return (text) => {
    if (names.includes(text)) return text
    throw new InvalidArgumentError(`It must be one of ${names.join(', ')}.`)
  }
}

function attribute(text: string): string {
  if (text.indexOf('=') > 0) return text
  throw new InvalidArgumentError('It must be NAME=VALUE.')
}

function watchInterval(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= 0.2 && Number(text) <= 60) return text
  throw new InvalidArgumentError('It must be a number of seconds, from 0.2 to 60.')
}

function rate(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) >= 0.001 && Number(text) <= 1e9) return text
  throw new InvalidArgumentError('It must be a number of events per second, from 0.001 to 1000000000.')
}
