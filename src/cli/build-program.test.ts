import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { settings } from '../config/config-table.ts'
import { buildProgram } from './build-program.ts'
import { exitCodes } from './exit-codes.ts'

test('docs/cli.md lists every exit code', () => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const codes = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
  assert.deepEqual(codes, Object.values(exitCodes))
})

test('a command has a flag for each setting that it reads, by the name under which the configuration takes it', () => {
  const checkConfig = buildProgram({ ...process, cwd: process.cwd() }, () => {}).commands.find(
    (command) => command.name() === 'check-config',
  )
  assert.deepEqual(
    checkConfig?.options.map((option) => [option.long, option.attributeName()]),
    settings.map(({ flag, option }) => [flag, option]),
  )
})
