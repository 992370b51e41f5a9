// Compares the reference pages of docs/ with the tables in the code, in both directions.

import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Command, Option } from 'commander'
import { grpcStatusNameOf, grpcStatusOf, httpStatusOf } from '../src/api/status.ts'
import { buildProgram } from '../src/cli/build-program.ts'
import { settings } from '../src/config/config-table.ts'
import { type ErrorCode, errorCodes, MillraceError } from '../src/errors.ts'
import { metricsTable } from '../src/telemetry/metrics-table.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const docs = join(root, 'docs')
const page = (name: string) => readFileSync(join(docs, name), 'utf8')

/** The rows of the first table whose first cell is code. */
function tableRows(markdown: string): string[] {
  return markdown.split('\n').filter((line) => /^\| `[A-Za-z_-]/.test(line))
}

const orDash = (words: readonly string[]) => (words.length === 0 ? '–' : words.map((word) => `\`${word}\``).join(', '))

test('docs/config.md equals the table of settings', () => {
  const rows = settings.map(({ variable, default: text, allowed, description }) => {
    return `| \`${variable}\` | ${orDash(text === null ? [] : [text])} | ${allowed} | ${description} |`
  })
  assert.deepEqual(tableRows(page('config.md')), rows)
})

test('docs/metrics.md equals the table of metrics', () => {
  const rows = Object.values(metricsTable).map(({ name, type, labels, help }) => {
    return `| \`${name}\` | ${type} | ${orDash(labels)} | ${help} |`
  })
  assert.deepEqual(tableRows(page('metrics.md')), rows)
})

test('docs/errors.md has a section for each code, with its title, its statuses and the fix', () => {
  const sections = page('errors.md')
    .split(/^## /m)
    .slice(1)
    .map((section) => section.split('\n').filter((line) => line !== ''))
  assert.deepEqual(
    sections.map(([code]) => code),
    Object.keys(errorCodes),
  )
  for (const [code, title, facts, ...advice] of sections) {
    const known = code as ErrorCode
    assert.equal(title, `${errorCodes[known].title}.`)
    const { class: errorClass, retryable } = new MillraceError(known, '')
    const grpc = grpcStatusNameOf(grpcStatusOf(known))
    assert.equal(
      facts,
      `Class: ${errorClass} · Retry: ${retryable ? 'yes' : 'no'} · gRPC: ${grpc} · HTTP: ${httpStatusOf(known)}`,
      code,
    )
    assert.ok(advice.join(' ').length > 40, `${code}: the section must say what to do`)
  }
})

test('docs/cli.md has a section for each command: its purpose, its options and its settings', () => {
  const program = buildProgram({ env: {}, cwd: '.', stdout: process.stdout, stderr: process.stderr }, () => {})
  const [introduction = '', ...sections] = page('cli.md').split(/^## /m)
  assert.deepEqual(
    tableRows(introduction).map((row) => /`(--[a-z-]+)/.exec(row)?.[1]),
    program.options.map(({ long }) => long),
  )

  const isSetting = (option: Option) => option.helpGroupHeading?.startsWith('Settings') === true
  const nameOf = (command: Command) => (command.parent === program ? '' : `${command.parent?.name()} `) + command.name()
  const withName = program.commands.flatMap((command) => (command.commands.length === 0 ? [command] : command.commands))
  const expected = withName.map((command) => ({
    heading: [
      nameOf(command),
      ...command.registeredArguments.map((each) => {
        const name = each.name() + (each.variadic ? '...' : '')
        return each.required ? `<${name}>` : `[${name}]`
      }),
    ].join(' '),
    description: command.description(),
    options: command.options
      .filter((option) => !isSetting(option))
      .map(({ flags, description }) => `| \`${flags}\` | ${description} |`),
    settings: command.options.filter(isSetting).map(({ long }) => long),
  }))
  const written = sections.map((section) => {
    const [heading, description] = section.split('\n').filter((line) => line !== '')
    const flags = /^Settings: (.+)$/m.exec(section)?.[1] ?? ''
    return {
      heading,
      description,
      options: tableRows(section),
      settings: [...flags.matchAll(/`(--[a-z-]+)`/g)].map(([, flag]) => flag),
    }
  })
  assert.deepEqual(written, expected)
})

test('every variable and metric that a page names exists', () => {
  const variables = new Set(
    settings.flatMap(({ variable, isSecret }) => (isSecret === true ? [variable, `${variable}_FILE`] : [variable])),
  )
  const tables = ['millrace_migrations', 'millrace_staging']
  const metrics = new Set(Object.values(metricsTable).map(({ name }) => name))
  for (const file of pages()) {
    const text = readFileSync(file, 'utf8')
    for (const [name] of text.matchAll(/\bMILLRACE_[A-Z_]*[A-Z]\b/g)) assert.ok(variables.has(name), `${file}: ${name}`)
    for (const [name] of text.matchAll(/\bmillrace_[a-z_]+[a-z]\b/g)) {
      assert.ok(
        metrics.has(name.replace(/_(bucket|sum|count)$/, '')) || metrics.has(name) || tables.includes(name),
        `${file}: ${name}`,
      )
    }
  }
})

test('every link between pages leads to a page and a heading that exist', () => {
  for (const file of pages()) {
    for (const [, target] of readFileSync(file, 'utf8').matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = '', anchor] = (target as string).split('#')
      const linked = path === '' ? file : join(file, '..', path)
      assert.ok(existsSync(linked), `${file}: ${target}`)
      if (anchor !== undefined) assert.ok(anchorsOf(linked).includes(anchor), `${file}: ${target}`)
    }
  }
})

test('every file and guarantee that code or pages name exists in the project', () => {
  const files = projectFiles()
  const guarantees = new Set([...page('guarantees.md').matchAll(/^\*\*(G\d+) /gm)].map(([, number]) => number))
  const missing = files.filter(isText).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    // Strings in code contain many file names that exist only while a test runs.
    const named = (file.endsWith('.md') ? codeSpansOf(text) : commentsOf(text)).replace(/https?:\S+/g, '')
    const names = [...named.matchAll(/(?<![\w*<>{}.-])[\w./-]*\w\.(?:md|ts|lua|proto|sql|py)\b/g)].map(([name]) => name)
    const unknown = names.filter((name) => !files.some((each) => each === name || each.endsWith(`/${name}`)))
    const unpromised = [...named.matchAll(/\bG\d+\b/g)]
      .map(([number]) => number)
      .filter((each) => !guarantees.has(each))
    return [...unknown, ...unpromised].map((what) => `${file}: ${what}`)
  })
  assert.deepEqual(missing, [])
})

/** Every file of the project, relative to its root. */
function projectFiles(): string[] {
  const folders = ['bench', 'docs', 'examples', 'proto', 'scripts', 'src', 'test', 'web']
  return globSync([`{${folders.join(',')}}/**/*.*`, '*.*'], { cwd: root, exclude: ['**/node_modules'] })
}

function isText(file: string): boolean {
  return /\.(md|ts|mjs|lua|proto|sql|py|yaml)$/.test(file) && !file.startsWith('src/gen/')
}

/** The texts between backticks, outside code blocks. */
function codeSpansOf(markdown: string): string {
  return [...markdown.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`[^`\n]+`/g)].map(([span]) => span).join('\n')
}

function commentsOf(code: string): string {
  return [...code.matchAll(/^ *\/\*\*[\s\S]*?\*\/|(?:^|\s)(?:\/\/|--|#) .*$/gm)].map(([comment]) => comment).join('\n')
}

/** The pages about the current state. Decisions and the change log describe other times. */
function pages(): string[] {
  const top = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].map((name) => join(root, name)).filter(existsSync)
  const reference = readdirSync(docs).filter((name) => name.endsWith('.md'))
  return [...top, ...reference.map((name) => join(docs, name))]
}

function anchorsOf(file: string): string[] {
  const headings = [...readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading as string)
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
}
