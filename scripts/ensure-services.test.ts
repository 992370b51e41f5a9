import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('./ensure-services.mjs', import.meta.url))
const programs = [...readFileSync(script, 'utf8').matchAll(/name: '([\w-]+)', debianPackage/g)].map(([, name]) => name!)

/** A PATH with only these programs, so that no real program is called. */
function run(t: TestContext, present: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-services-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of present) writeFileSync(join(directory, name), '#!/bin/sh\n', { mode: 0o755 })
  const path = [join(directory, 'empty'), directory].join(delimiter)
  return spawnSync(process.execPath, [script], { encoding: 'utf8', env: { PATH: path } })
}

test('when every program is installed nothing happens', (t) => {
  const { status, stdout, stderr } = run(t, programs)
  assert.deepEqual([status, stdout, stderr], [0, '', ''])
})

test('a program that is missing and cannot be installed is named with its purpose and how to install it', (t) => {
  const { status, stdout, stderr } = run(t, programs.slice(1))
  assert.deepEqual([status, stdout], [1, ''])
  assert.match(stderr, new RegExp(`${programs[0]} \\(.+\\)`))
  assert.match(stderr, new RegExp(`apt-get install ${programs[0]}\n`))
  assert.doesNotMatch(stderr, new RegExp(` ${programs[1]} `))
})
