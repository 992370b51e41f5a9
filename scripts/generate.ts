// Generates src/gen from proto/, the .wasm beside each .wat, and the console's types of the HTTP API; with --check only
// reports whether they are up to date. Needs no network.

import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import wabt from 'wabt'

const root = fileURLToPath(new URL('..', import.meta.url))
const generated = 'src/gen'
const typesOfApi = 'web/src/gen/api-types.ts'

try {
  buf('lint')
  const isCheck = process.argv.includes('--check')
  if (isCheck) checkGenerated()
  else buf('generate')
  // Not before: it imports what was just generated.
  const { apiTypes } = await import('./api-types.ts')
  keep(typesOfApi, apiTypes(), isCheck)
  await assembleAll(isCheck)
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}

/** Assembles every WebAssembly text file (https://webassembly.github.io/spec/core/text/) of the sources. */
async function assembleAll(isCheck: boolean): Promise<void> {
  const { parseWat } = await wabt()
  for (const file of globSync('src/**/*.wat', { cwd: root })) {
    const source = join(root, file)
    const target = source.replace(/wat$/, 'wasm')
    const assembled = parseWat(file, readFileSync(source, 'utf8'))
    const { buffer } = assembled.toBinary({})
    assembled.destroy()
    keep(target, buffer, isCheck)
  }
}

/** Writes the file, or throws when it is not as it would be written. */
function keep(file: string, content: string | Uint8Array, isCheck: boolean): void {
  const path = resolve(root, file)
  if (!isCheck) writeFileSync(path, content)
  else if (!readFileSync(path).equals(Buffer.from(content)))
    throw new Error(`${path} is not up to date; run: npm run generate`)
}

function checkGenerated(): void {
  const differing = compareWithFresh()
  if (differing.length === 0) return
  throw new Error([`${generated} does not match proto/; run: npm run generate`, ...differing].join('\n'))
}

/** Generates into an empty directory and compares, file by file. */
function compareWithFresh(): string[] {
  const fresh = mkdtempSync(join(tmpdir(), 'millrace-generate-'))
  try {
    buf('generate', '--output', fresh)
    const wanted = filesOf(join(fresh, generated))
    const present = filesOf(join(root, generated))
    return [...new Set([...wanted.keys(), ...present.keys()])]
      .filter((file) => wanted.get(file) !== present.get(file))
      .map((file) => `  ${join(generated, file)} ${reasonFor(file, wanted, present)}`)
  } finally {
    rmSync(fresh, { recursive: true })
  }
}

function reasonFor(file: string, wanted: Map<string, string>, present: Map<string, string>): string {
  if (!present.has(file)) return 'is missing'
  return wanted.has(file) ? 'differs' : 'is no longer generated'
}

function filesOf(directory: string): Map<string, string> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [path.slice(directory.length + 1), readFileSync(path, 'utf8')]
    }),
  )
}

/** buf needs its plugin on the PATH; npm puts it there, a direct call does not. */
function buf(...args: string[]): void {
  const binaries = join(root, 'node_modules/.bin')
  const env = { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH ?? ''}` }
  const { status, error } = spawnSync('buf', args, { cwd: root, env, stdio: 'inherit' })
  if (status !== 0) throw new Error(`buf ${args[0]} failed${error === undefined ? '' : `: ${error.message}`}`)
}
