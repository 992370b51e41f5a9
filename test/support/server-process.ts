// The real server as a separate process, which can be killed.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cleanup } from './cleanup.ts'
import { within } from './eventually.ts'
import { tempDirectory } from './temp-directory.ts'

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url))
/** What handlers that tests write import. The package's entry point loads the client too: 0.4 s of CPU in each thread. */
export const defineHandlerModule = join(projectRoot, 'src/workers/define-handler.ts')
const mainProgram = join(projectRoot, 'src/cli/main.ts')
/** Collecting garbage in one thread takes 0.2 s less CPU per start, and the tests start hundreds of servers. */
export const testedNodeArguments = ['--single-threaded-gc']

export interface ServerOptions {
  /** Kept when the test ends; without it, a temporary directory is created. */
  readonly dataDir?: string
  /** Settings added to the defaults of a test (any port, the topics below, the temporary directory). */
  readonly env?: Readonly<Record<string, string>>
  /** Topics declared besides `events`: names, or `name:partitions`. */
  readonly topics?: readonly string[]
  /** A program to run instead of the product's, with its arguments: a server with a deliberate defect. */
  readonly program?: readonly string[]
  /** Arguments for node itself. */
  readonly nodeArguments?: readonly string[]
  /** A command that wraps the server: `['strace', ...]`. */
  readonly wrapper?: readonly string[]
  /** Longest wait for the server to be ready, in milliseconds. */
  readonly readyWithinMs?: number
}

/** How a process exited: one of the two is null. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The environment variables that a program needs: the PATH, and the compile cache that makes it start quickly. */
export function inherited(): Record<string, string> {
  const { PATH = '', NODE_COMPILE_CACHE } = process.env
  return NODE_COMPILE_CACHE === undefined ? { PATH } : { PATH, NODE_COMPILE_CACHE }
}

/** The settings with which tests run the server. */
export function serverEnvironment(dataDir: string, options: ServerOptions = {}): Record<string, string> {
  return {
    MILLRACE_DATA_DIR: dataDir,
    MILLRACE_HTTP_PORT: '0',
    MILLRACE_GRPC_PORT: '0',
    MILLRACE_TOPICS: ['events', ...(options.topics ?? [])].join(','),
    MILLRACE_DRAIN_MS: '5000',
    MILLRACE_DISK_RESERVE_BYTES: '1048576',
    ...options.env,
  }
}

/** Starts the server, waits until it is ready, and stops it when the test ends. */
export async function startServer(t: TestContext, options: ServerOptions = {}): Promise<ServerProcess> {
  const nodeArguments = [...testedNodeArguments, ...(options.nodeArguments ?? [])]
  const server = new ServerProcess(options.dataDir ?? tempDirectory(t), { ...options, nodeArguments })
  cleanup(t, async () => {
    await server.end()
    // Not in the types of Node 24 yet.
    if (!(t as TestContext & { readonly passed: boolean }).passed)
      t.diagnostic(`stderr of the server:\n${server.stderr.slice(-8000)}`)
  })
  await server.start()
  return server
}

type Child = ChildProcessByStdio<null, Readable, Readable>

export class ServerProcess {
  readonly dataDir: string
  readonly #options: ServerOptions
  #child: Child | null = null
  #exit: Promise<Exit> = Promise.resolve({ code: 0, signal: null })
  #addresses = { http: '', grpc: '' }
  #pid = 0
  /** All stderr output of the server, over all its starts. */
  stderr = ''
  stdout = ''

  constructor(dataDir: string, options: ServerOptions) {
    this.dataDir = dataDir
    this.#options = options
  }

  /** Its addresses, `127.0.0.1:port`. They change with every start. `grpc` is empty for a worker. */
  get http(): string {
    return this.#addresses.http
  }

  get grpc(): string {
    return this.#addresses.grpc
  }

  /** Called when another server continues on its data directory. Clients that reread the addresses follow. */
  moveTo(addresses: { readonly http: string; readonly grpc: string }): void {
    this.#addresses = addresses
  }

  get pid(): number {
    return this.#pid
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves when the process has exited, for any reason. */
  get exited(): Promise<Exit> {
    return this.#exit
  }

  /** Starts it on its data directory and waits until it is ready. Throws with its stderr if it exits instead. */
  async start(): Promise<void> {
    const printedBefore = this.stdout.length
    const child = this.launch()
    const deadline = performance.now() + (this.#options.readyWithinMs ?? 15_000)
    const look = () => (this.#options.program === undefined ? this.#readGreeting(printedBefore) : this.#readAddresses())
    for (let addresses = look(); ; addresses = look()) {
      if (addresses !== null) {
        this.#addresses = { http: addresses.http, grpc: addresses.grpc ?? '' }
        break
      }
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(
          `the server exited (${child.exitCode ?? child.signalCode}) before it was ready:\n${this.stderr}`,
        )
      }
      if (performance.now() > deadline) throw new Error(`the server did not become ready:\n${this.stderr}`)
      await sleep(10)
    }
    this.#pid = this.#findPid()
  }

  /** Starts it without waiting. */
  launch(): Child {
    const { program = [mainProgram, 'start', '--output', 'json'], nodeArguments = [], wrapper = [] } = this.#options
    mkdirSync(this.dataDir, { recursive: true })
    // Otherwise the file left by a killed server would be mistaken for that of the new one.
    if (this.#options.program !== undefined) rmSync(join(this.dataDir, 'addresses.json'), { force: true })
    const [command, ...rest] = [...wrapper, process.execPath, ...nodeArguments, ...program] as [string, ...string[]]
    const child = spawn(command, rest, {
      cwd: this.dataDir,
      env: { ...inherited(), ...serverEnvironment(this.dataDir, this.#options) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.#exit = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })))
    this.#child = child
    this.#pid = child.pid as number
    return child
  }

  /** Sends a signal to the server. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    process.kill(this.#pid, signal)
  }

  /** kill -9, and waits until the process is gone. */
  async crash(): Promise<void> {
    this.kill('SIGKILL')
    await within(5000, 'exit of the killed server', this.#exit)
  }

  /** SIGTERM, and waits for the exit. */
  async stop(withinMs = 15_000): Promise<Exit> {
    this.kill('SIGTERM')
    return within(withinMs, 'stopping the server', this.#exit)
  }

  /** Stops the server by any means; for the end of a test. */
  async end(): Promise<void> {
    if (!this.running) return
    this.kill('SIGTERM')
    try {
      await within(6000, 'stopping the server', this.#exit)
    } catch (failure) {
      this.kill('SIGKILL')
      await this.#exit
      throw failure
    }
  }

  /** Memory in use now, in bytes. */
  get rssBytes(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024
  }

  /** CPU time used so far by all its threads, in milliseconds. */
  get cpuMs(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  }

  /** The target of each open file descriptor. */
  openFiles(): string[] {
    const directory = `/proc/${this.#pid}/fd`
    return readdirSync(directory).flatMap((descriptor) => {
      try {
        return [readlinkSync(join(directory, descriptor))]
      } catch {
        return []
      }
    })
  }

  /** The lines of its log, parsed; lines that are not JSON are skipped. */
  logLines(): Record<string, unknown>[] {
    return this.stderr.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : []))
  }

  /** The line that the product prints once ready; null while incomplete. A worker prints it too, but writes no file. */
  #readGreeting(from: number): { http: string; grpc: string | null } | null {
    const end = this.stdout.indexOf('\n', from)
    return end === -1 ? null : JSON.parse(this.stdout.slice(from, end))
  }

  /** Null while the file is missing or incomplete. */
  #readAddresses(): { http: string; grpc: string } | null {
    try {
      return JSON.parse(readFileSync(join(this.dataDir, 'addresses.json'), 'utf8'))
    } catch {
      return null
    }
  }

  /** With a wrapper, the server is the wrapper's child. */
  #findPid(): number {
    const holder = join(this.dataDir, 'holder.json')
    return existsSync(holder) ? JSON.parse(readFileSync(holder, 'utf8')).pid : (this.#child?.pid as number)
  }
}
