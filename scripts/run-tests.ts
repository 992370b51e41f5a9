// Runs the tests and checks that they left nothing behind.
//
//   run-tests.ts              all of them
//   run-tests.ts --unit       those beside their source, the architecture and the reference pages
//   run-tests.ts PART ...     the files whose path contains one of the parts
//
// First come the negative controls: programs with deliberate defects that the checker must find. When one is not found
// the run is void, for then the green of all others would say nothing.

import { globSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from 'node:test'
import { spec, type TestEvent } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { processesWith } from './left-behind.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const maxFileMs = 150_000
const filesAtOnce = 2
const endingGraceMs = 2000
const shownSlowestFiles = 20

/** What the runner counts, under the names that it prints. */
type Tally = Record<'tests' | 'pass' | 'fail' | 'cancelled' | 'skipped', number>

interface FileDuration {
  readonly file: string
  readonly seconds: number
}

const files = chooseFiles(process.argv.slice(2))
if (files.length === 0) {
  console.error('no test file matches')
  process.exit(2)
}

// Everything that the tests make is in here, and every process that they start knows this path.
const temporary = mkdtempSync(join(tmpdir(), 'millrace-tests-'))
process.env.TMPDIR = temporary
// A hundred files and their servers compile the same modules: once is enough (0.4 s instead of 0.7 s for a small file).
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules', '.cache', 'millrace')
// The settings of whoever runs the tests are not theirs.
for (const name of Object.keys(process.env).filter((each) => each.startsWith('MILLRACE_'))) delete process.env[name]
process.once('SIGINT', () => abandon(130))
process.once('SIGTERM', () => abandon(143))
process.exitCode = await runAll()

function chooseFiles(parts: readonly string[]): string[] {
  const folders = ['src', 'scripts', 'bench', 'test']
  const all = globSync(`{${folders.join(',')}}/**/*.test.ts`, { cwd: root }).sort()
  if (parts.includes('--unit')) return all.filter((file) => !/^test\/.+\//.test(file))
  return parts.length === 0 ? all : all.filter((file) => parts.some((part) => file.includes(part)))
}

async function runAll(): Promise<number> {
  const began = performance.now()
  const total: Tally = { tests: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0 }
  const faults: string[] = []
  const durations: FileDuration[] = []

  await runFiles(files.filter(isControl), filesAtOnce, total, durations)
  if (total.fail + total.cancelled > 0) faults.push('a negative control was not found: this run is void')
  else {
    const others = files.filter((file) => !isControl(file))
    await Promise.all([
      runFiles(inOrder(others.filter((file) => !waits(file))), filesAtOnce, total, durations),
      runFiles(others.filter(waits), 1, total, durations),
    ])
  }

  faults.push(...(await cleanUp(endingGraceMs)))
  console.log('\nslowest files, in seconds:')
  for (const { file, seconds } of slowest(durations)) console.log(`${seconds.toFixed(1).padStart(7)}  ${file}`)
  for (const [name, count] of Object.entries(total)) console.log(`ℹ ${name} ${count}`)
  console.log(`ℹ duration_s ${Math.round((performance.now() - began) / 1000)}`)
  for (const fault of faults) console.log(`✖ ${fault}`)
  return faults.length + total.fail + total.cancelled === 0 ? 0 : 1
}

function isControl(file: string): boolean {
  return /^test\/faults\/negative-controls[^/]*\.test\.ts$/.test(file)
}

/** Those that mostly wait for a time-out of the product: they run beside the others, for they take no core. */
function waits(file: string): boolean {
  return file.endsWith('.waits.test.ts')
}

/** Quick ones first, so that a simple mistake shows soon. */
function inOrder(chosen: readonly string[]): string[] {
  const folders = [
    'test/',
    'src/',
    'scripts/',
    'test/support/',
    'test/conformance/',
    'test/end-to-end/',
    'test/faults/',
  ]
  const rank = (file: string) => folders.findLastIndex((folder) => file.startsWith(folder))
  return chosen.toSorted((a, b) => rank(a) - rank(b))
}

/** Runs these files and prints what they report, but not their sums: those are added up. */
async function runFiles(
  chosen: readonly string[],
  concurrency: number,
  total: Tally,
  durations: FileDuration[],
): Promise<void> {
  if (chosen.length === 0) return
  const events = run({ files: chosen.map((file) => join(root, file)), concurrency, timeout: maxFileMs })
  events.on('test:summary', ({ file, counts, duration_ms }) => {
    if (file !== undefined) {
      durations.push({ file: relative(root, file), seconds: duration_ms / 1000 })
      return
    }
    total.tests += counts.tests
    total.pass += counts.passed
    total.fail += counts.tests - counts.passed - counts.cancelled - counts.skipped - counts.todo
    total.cancelled += counts.cancelled
    total.skipped += counts.skipped
  })
  const shown = events.filter((event: TestEvent) => !isSum(event))
  await pipeline(shown, new spec(), process.stdout, { end: false })
}

function slowest(durations: readonly FileDuration[]): FileDuration[] {
  return durations.toSorted((a, b) => b.seconds - a.seconds).slice(0, shownSlowestFiles)
}

function isSum(event: TestEvent): boolean {
  return event.type === 'test:diagnostic' && event.data.file === undefined && event.data.nesting === 0
}

/** Ends what still runs after the grace, removes what still lies about, and names both. */
async function cleanUp(graceMs: number): Promise<string[]> {
  const processes = await processesWith(temporary, graceMs)
  for (const { pid } of processes) endProcess(pid)
  const names = readdirSync(temporary)
  rmSync(temporary, { recursive: true, force: true })
  return [
    ...processes.map(({ pid, command }) => `a process was left behind: ${pid} ${command}`),
    ...names.map((name) => `a temporary file was left behind: ${name}`),
  ]
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

async function abandon(exitCode: number): Promise<void> {
  await cleanUp(0)
  process.exit(exitCode)
}
