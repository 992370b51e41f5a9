// What `millrace doctor` checks besides the data files: versions, open files, disk space, TLS, ports.

import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { type Config, ConfigError } from '../config/config.ts'
import { certificateWarning, readServerTls } from '../config/tls-files.ts'
import { openFileProblem } from './open-files.ts'

export interface Finding {
  readonly subject: string
  /** `damaged` sets exit code 3, `problem` 1; a `warning` does not keep a server from running. */
  readonly state: 'ok' | 'warning' | 'problem' | 'damaged'
  readonly message: string
}

/** Oldest versions without a known fault that Millrace does not guard against. */
const floors = [
  { name: 'Node', floor: '24.15.0', version: () => process.versions.node },
  // Older versions could damage a WAL when two connections write or checkpoint at once.
  { name: 'SQLite', floor: '3.51.3', version: () => process.versions.sqlite },
  // In older versions one malformed request ended the server.
  { name: '@grpc/grpc-js', floor: '1.14.4', version: () => installedVersion('@grpc/grpc-js') },
  { name: 'protobufjs', floor: '7.6.1', version: () => installedVersion('protobufjs') },
]

export function checkVersions(): Finding[] {
  return floors.map(({ name, floor, version }) => {
    const found = version()
    if (found === undefined)
      return { subject: name, state: 'warning', message: `version unknown; ${floor} or newer is needed` }
    const isOld = compareVersions(found, floor) < 0
    return {
      subject: name,
      state: isOld ? 'warning' : 'ok',
      message: isOld ? `${found} has known faults; install ${floor} or newer` : found,
    }
  })
}

function installedVersion(library: string): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${library}/package.json`)
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string }).version
  } catch {
    return undefined
  }
}

/** Compares the first three numbers; below 0 when the first version is older. Suffixes are ignored. */
export function compareVersions(first: string, second: string): number {
  const [a, b] = [first, second].map((version) => version.split(/[.-]/).map(Number))
  for (let part = 0; part < 3; part++) {
    const difference = (a?.[part] ?? 0) - (b?.[part] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

export function checkOpenFiles(): Finding {
  const problem = openFileProblem()
  const subject = 'open files'
  if (problem === null) return { subject, state: 'ok', message: 'the limit is high enough for a server' }
  return { subject, state: 'problem', message: problem }
}

/** Compares free space with the reserve: publishes are refused before it is touched. */
export function checkDisk({ dataDir, diskReserveBytes }: Pick<Config, 'dataDir' | 'diskReserveBytes'>): Finding {
  const subject = 'disk'
  // The directory may not exist yet: it will be created on the disk of its parent.
  let directory = dataDir
  while (!existsSync(directory) && directory !== dirname(directory)) directory = dirname(directory)
  const { bavail, bsize } = statfsSync(directory)
  const freeBytes = bavail * bsize
  const message = `${formatBytes(freeBytes)} free for ${dataDir}, of which ${formatBytes(diskReserveBytes)} are reserved`
  if (freeBytes > 2 * diskReserveBytes) return { subject, state: 'ok', message }
  if (freeBytes > diskReserveBytes) return { subject, state: 'warning', message: `${message}; free some space soon` }
  return { subject, state: 'problem', message: `${message}; publishes are refused until space is freed` }
}

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let [value, unit] = [bytes, 0]
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  if (bytes === 1) return '1 byte'
  return `${unit === 0 || Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}

/** Nothing when the server listens without TLS. */
export async function checkTls(config: Config, nowMs: number): Promise<Finding[]> {
  const subject = 'TLS'
  try {
    const read = await readServerTls(config)
    if (read === null) return []
    const warning = certificateWarning(read, nowMs)
    if (warning !== null) return [{ subject, state: 'warning', message: warning }]
    const { subjectAltName = 'no name', validToDate } = read.certificate
    const message = `certificate for ${subjectAltName}, valid until ${validToDate.toISOString()}`
    return [{ subject, state: 'ok', message }]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ message }) => ({ subject, state: 'problem', message }))
  }
}

/** Whether the configured ports are free. Only while no server runs: a running one occupies them itself. */
export function checkPorts({ host, httpPort, grpcPort }: Config): Promise<Finding[]> {
  const ports = [
    { variable: 'MILLRACE_HTTP_PORT', port: httpPort },
    { variable: 'MILLRACE_GRPC_PORT', port: grpcPort },
  ]
  return Promise.all(
    ports.map(async ({ variable, port }): Promise<Finding> => {
      if (port === 0) return { subject: variable, state: 'ok', message: 'any free port' }
      const error = await listenError(host, port)
      if (error === null) return { subject: variable, state: 'ok', message: `${host}:${port} is free` }
      const message = `cannot listen on ${host}:${port} (${error.code}); stop the program that uses it, or set another port`
      return { subject: variable, state: 'problem', message }
    }),
  )
}

function listenError(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', resolve)
    probe.listen(port, host, () => probe.close(() => resolve(null)))
  })
}
