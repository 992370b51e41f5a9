// Runs the tests and checks that they left nothing behind.
//
//   run-tests.ts              all but the long ones
//   run-tests.ts --long       for releases: *.long.test.ts, and the tests that use depth.ts, at full depth
//   run-tests.ts --unit       the tests beside their source, the architecture and the reference pages
//   run-tests.ts PART ...     the files whose path contains one of the parts
//
// The negative controls run before the fault and end-to-end tests: programs with deliberate defects that the checker
// must find. If one is not found the run is void, because the other results would prove nothing.
//
// A test that times something can fail because the machine is busy with the others. Files that failed run once more, alone,
// and the output says which passed only then. Not those under test/faults and test/conformance: they check that nothing is
// lost or doubled, and one failure of theirs is one too many.

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
import { inspect } from 'node:util'
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

/** With more files that failed, it is not the machine. */
const maxFilesAlone = 5
const maxReasonCharacters = 4000

/** What a run of files gives: counts, and the tests that failed. */
interface Results {
  tests: number
  skipped: number
  readonly failures: Failure[]
  readonly secondsOf: Map<string, number>
}

interface Failure {
  readonly name: string
  readonly file: string
  readonly reason: string
}

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
  const results = noResults()
  const faults: string[] = []

  const starting = startServices()
  // Awaited after the controls; until then a failure must not end the process.
  starting.catch(() => {})
  const unit = runFiles(inProcesses(files.filter(isUnit), 1), results)
  await runFiles(files.filter(isControl), results)
  const stopServices = await starting
  const areControlsGreen = !results.failures.some(({ file }) => isControl(file))
  if (!areControlsGreen) faults.push('a negative control was not found: this run is void')
  const others = areControlsGreen ? files.filter((file) => !isControl(file) && !isUnit(file)) : []
  const queue = inProcesses(
    others.filter((file) => !waits(file)),
    maxProcesses,
  )
  const runQueue = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await runFiles([next], results)
  }
  // Two at a time for the two cores, and one that mostly waits. With more, tests that time something fail.
  // One after the other: on a slow machine all of them in one would take longer than a process may.
  const waiting = runFiles(inProcesses(others.filter(waits), waitingProcesses), results)
  await Promise.all([unit.then(runQueue), runQueue(), waiting])
  const failedAlone = await runFailedAlone(results.failures)
  await stopServices()

  faults.push(...(await cleanUp(endingGraceMs)))
  printSlowest(results.secondsOf)
  for (const { name, file, reason } of results.failures) {
    const verdict = failedAlone.has(file) ? '✖ failed' : '⚠ failed beside other tests, passed alone'
    console.log(`${verdict}: ${name} (${file})\n${reason}`)
  }
  const fail = results.failures.filter(({ file }) => failedAlone.has(file)).length
  const { tests, skipped } = results
  const total = { tests, pass: tests - fail - skipped, fail, passed_alone: results.failures.length - fail, skipped }
  for (const [name, count] of Object.entries(total)) console.log(`ℹ ${name} ${count}`)
  console.log(`ℹ duration_s ${Math.round((performance.now() - began) / 1000)}`)
  for (const fault of faults) console.log(`✖ ${fault}`)
  return faults.length + fail === 0 ? 0 : 1
}

function noResults(): Results {
  return { tests: 0, skipped: 0, failures: [], secondsOf: new Map() }
}

/** Runs the files of these failures once more, one at a time. Returns those that failed again, or could not be repeated. */
async function runFailedAlone(failures: readonly Failure[]): Promise<ReadonlySet<string>> {
  const failed = new Set(failures.map(({ file }) => file))
  if (failed.size > maxFilesAlone) return failed
  for (const file of files.filter((each) => failed.has(each) && !/^test\/(faults|conformance)\//.test(each))) {
    console.log(`\n${file} failed beside other tests; alone:`)
    const alone = noResults()
    await runFiles([file], alone)
    if (alone.failures.length === 0) failed.delete(file)
  }
  return failed
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

/** Runs these files and prints their output, but not their totals: those are added up in the results. */
async function runFiles(chosen: readonly string[], results: Results): Promise<void> {
  if (chosen.length === 0) return
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
    results.tests += counts.tests
    results.skipped += counts.skipped
  })
  const addTime = ({ file, nesting, details }: TestResult) => {
    if (file === undefined || nesting > 0) return
    const name = relative(root, file)
    results.secondsOf.set(name, (results.secondsOf.get(name) ?? 0) + details.duration_ms / 1000)
  }
  events.on('test:pass', addTime)
  events.on('test:fail', (result) => {
    const file = relative(root, result.file ?? '')
    results.failures.push({ name: result.name, file, reason: reasonOf(result) })
    addTime(result)
  })
  const shown = events.filter((event: TestEvent) => !isSum(event))
  await pipeline(shown, new spec(), process.stdout, { end: false })
}

interface TestResult {
  readonly name: string
  readonly file?: string | undefined
  readonly nesting: number
  readonly details: { readonly duration_ms: number; readonly error?: Error }
}

/** The error of the test with its stack, indented and cut. */
function reasonOf({ details: { error } }: TestResult): string {
  const text = inspect(error?.cause ?? error).slice(0, maxReasonCharacters)
  return text.replaceAll(/^/gm, '    ')
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
