// Runs the tests and checks that they left nothing behind.
//
//   run-tests.ts              all but the long ones
//   run-tests.ts --long       for releases: *.long.test.ts, and the tests that use depth.ts, at full depth
//   run-tests.ts --unit       the tests beside their source, the architecture and the reference pages
//   run-tests.ts PART ...     the files whose path contains one of the parts
//
// The negative controls run before the fault and end-to-end tests: programs with deliberate defects that the checker
// must find. If one is not found the run is void, because the other results would prove nothing.

import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from 'node:test'
import { spec, type TestEvent } from 'node:test/reporters'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { processesWith } from './left-behind.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const depth = join(root, 'test/support/depth.ts')
const maxProcessMs = { short: 400_000, long: 3_000_000 }
/** How many processes the files are spread over, besides that of the unit tests. */
const maxProcesses = 16
const waitingProcesses = 3
const minMemoryBytes = 6 * 1024 ** 3
const endingGraceMs = 2000
const maxSlowestFiles = 20

/** The runner's counts, under the names that it prints. */
type Tally = Record<'tests' | 'pass' | 'fail' | 'cancelled' | 'skipped', number>

/** Tests that failed, for the end of the output: each process prints its own in the middle. */
const failed: string[] = []

const isLongRun = process.argv.includes('--long')
const files = chooseFiles(process.argv.slice(2))
if (files.length === 0) {
  console.error('no test file matches')
  process.exit(2)
}

// All files that the tests create are in here, and every process that they start has this path in its environment.
const temporary = mkdtempSync(join(temporaryParent(), 'millrace-tests-'))
process.env.TMPDIR = temporary
const entries = join(temporary, 'entries')
mkdirSync(entries)
// A hundred files and their servers compile the same modules: once is enough (0.4 s instead of 0.7 s for a small file).
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules', '.cache', 'millrace')
// Settings of the user's shell must not reach the tests.
for (const name of Object.keys(process.env).filter((each) => /^(MILLRACE|TEST)_/.test(each))) delete process.env[name]
if (isLongRun) process.env.TEST_LONG = 'yes'
process.once('SIGINT', () => abandon(130))
process.once('SIGTERM', () => abandon(143))
process.exitCode = await runAll().catch(async (failure: unknown) => {
  console.error(failure)
  await cleanUp(0)
  return 1
})

function chooseFiles(parts: readonly string[]): string[] {
  const folders = ['src', 'scripts', 'bench', 'test']
  const all = globSync(`{${folders.join(',')}}/**/*.test.ts`, { cwd: root, exclude: ['**/node_modules'] }).sort()
  if (parts.includes('--long')) {
    return all.filter((file) => isControl(file) || isLong(file) || dependenciesOf(join(root, file)).has(depth))
  }
  if (parts.includes('--unit')) return all.filter((file) => isUnit(file) && !isLong(file))
  if (parts.length === 0) return all.filter((file) => !isLong(file))
  return all.filter((file) => parts.some((part) => file.includes(part)))
}

/** A directory in memory if there is enough: the tests create thousands of files, and none has to survive a reboot. */
function temporaryParent(): string {
  const memory = '/dev/shm'
  if (process.env.TMPDIR !== undefined || !existsSync(memory)) return tmpdir()
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize >= minMemoryBytes ? memory : tmpdir()
}

async function runAll(): Promise<number> {
  const began = performance.now()
  const total: Tally = { tests: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0 }
  const secondsOf = new Map<string, number>()
  const faults: string[] = []

  const starting = startServices()
  // Awaited after the controls; until then a failure must not end the process.
  starting.catch(() => {})
  const unit = runFiles(inProcesses(files.filter(isUnit), 1), total, secondsOf)
  const controls = await runFiles(files.filter(isControl), total, secondsOf)
  const stopServices = await starting
  if (!controls.isGreen) faults.push('a negative control was not found: this run is void')
  const others = controls.isGreen ? files.filter((file) => !isControl(file) && !isUnit(file)) : []
  const queue = inProcesses(
    others.filter((file) => !waits(file)),
    maxProcesses,
  )
  const runQueue = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await runFiles([next], total, secondsOf)
  }
  // Two at a time for the two cores, and one that mostly waits. With more, tests that time something fail.
  // One after the other: on a slow machine all of them in one would take longer than a process may.
  const waiting = runFiles(inProcesses(others.filter(waits), waitingProcesses), total, secondsOf)
  await Promise.all([unit.then(runQueue), runQueue(), waiting])
  await stopServices()

  faults.push(...(await cleanUp(endingGraceMs)))
  printSlowest(secondsOf)
  for (const test of failed) console.log(`✖ failed: ${test}`)
  for (const [name, count] of Object.entries(total)) console.log(`ℹ ${name} ${count}`)
  console.log(`ℹ duration_s ${Math.round((performance.now() - began) / 1000)}`)
  for (const fault of faults) console.log(`✖ ${fault}`)
  return faults.length + total.fail + total.cancelled === 0 ? 0 : 1
}

function isControl(file: string): boolean {
  return /^test\/faults\/negative-controls[^/]*\.test\.ts$/.test(file)
}

function isUnit(file: string): boolean {
  return !/^test\/.+\//.test(file)
}

/** Whether a file mostly waits for timeouts of the product: they run beside the others, as they use little CPU. */
function waits(file: string): boolean {
  return file.endsWith('.waits.test.ts')
}

function isLong(file: string): boolean {
  return file.endsWith('.long.test.ts')
}

/**
 * Spreads the files over this many processes, so that the loading time, a second of CPU, is paid once per process.
 * Returns the entry files that import them.
 */
function inProcesses(chosen: readonly string[], count: number): string[] {
  const parts = Array.from({ length: Math.min(count, chosen.length) }, (_, part) =>
    chosen.filter((_, index) => index % count === part),
  )
  return parts.map((part) => {
    if (part.length === 1) return part[0] as string
    const entry = join(entries, `${part[0]?.replaceAll('/', '_')}-and-${part.length - 1}-more.mjs`)
    writeFileSync(entry, part.map((file) => `await import('${pathToFileURL(join(root, file))}')\n`).join(''))
    return entry
  })
}

/** Starts the services that test files share, if one of these files uses them. Returns a function that stops them. */
async function startServices(): Promise<() => Promise<void>> {
  const shared = join(root, 'test/support/shared-services.ts')
  if (!files.some((file) => dependenciesOf(join(root, file)).has(shared))) return async () => {}
  const { startServices } = await import('../test/support/start-services.ts')
  return startServices()
}

/** The file and all files that it imports by relative paths. */
function dependenciesOf(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found
  found.add(file)
  for (const [, target] of readFileSync(file, 'utf8').matchAll(/^(?:import|\}).* from '(\.[^']+)'$/gm)) {
    dependenciesOf(join(dirname(file), target as string), found)
  }
  return found
}

/** Runs these files and prints their output, but not their totals: those are added up. */
async function runFiles(
  chosen: readonly string[],
  total: Tally,
  secondsOf: Map<string, number>,
): Promise<{ readonly isGreen: boolean }> {
  if (chosen.length === 0) return { isGreen: true }
  let isGreen = true
  const paths = chosen.map((file) => resolve(root, file))
  const events = run({
    files: paths,
    concurrency: 1,
    // As in the servers that the tests start (server-process.ts).
    execArgv: ['--single-threaded-gc'],
    timeout: isLongRun ? maxProcessMs.long : maxProcessMs.short,
  })
  events.on('test:summary', ({ file, counts }) => {
    if (file !== undefined) return
    total.tests += counts.tests
    total.pass += counts.passed
    total.fail += counts.tests - counts.passed - counts.cancelled - counts.skipped - counts.todo
    total.cancelled += counts.cancelled
    total.skipped += counts.skipped
  })
  const addTime = ({ file, nesting, details }: TestResult) => {
    if (file === undefined || nesting > 0) return
    const name = relative(root, file)
    secondsOf.set(name, (secondsOf.get(name) ?? 0) + details.duration_ms / 1000)
  }
  events.on('test:pass', addTime)
  events.on('test:fail', (result) => {
    isGreen = false
    failed.push(`${result.name} (${relative(root, result.file ?? '')})`)
    addTime(result)
  })
  const shown = events.filter((event: TestEvent) => !isSum(event))
  await pipeline(shown, new spec(), process.stdout, { end: false })
  return { isGreen }
}

interface TestResult {
  readonly file?: string | undefined
  readonly nesting: number
  readonly details: { readonly duration_ms: number }
}

function isSum(event: TestEvent): boolean {
  return event.type === 'test:diagnostic' && event.data.file === undefined && event.data.nesting === 0
}

/** Prints the slowest files by the time of their tests, without loading. */
function printSlowest(secondsOf: ReadonlyMap<string, number>): void {
  console.log(`\nthe ${maxSlowestFiles} slowest files, in seconds of test time:`)
  const slowest = [...secondsOf].toSorted(([, a], [, b]) => b - a).slice(0, maxSlowestFiles)
  for (const [file, seconds] of slowest) console.log(`${seconds.toFixed(1).padStart(7)}  ${file}`)
}

/** Kills processes that still run after the grace period, removes leftover files, and returns one message for each. */
async function cleanUp(graceMs: number): Promise<string[]> {
  rmSync(entries, { recursive: true, force: true })
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
    // The process has already exited.
  }
}

async function abandon(exitCode: number): Promise<void> {
  await cleanUp(0)
  process.exit(exitCode)
}
