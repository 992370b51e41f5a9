// What `millrace doctor` looks at beside the data files: versions, the disk, the ports.

import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import type { Config } from '../config/config.ts'

export interface Finding {
  readonly subject: string
  /** `damaged` is what exit code 3 stands for; a warning keeps nothing from running. */
  readonly state: 'ok' | 'warning' | 'problem' | 'damaged'
  readonly message: string
}

/** Below these, faults are known that Millrace does not guard against. */
const floors = [
  { name: 'Node', floor: '24.15.0', version: () => process.versions.node },
  // Before it, two connections that write or checkpoint at once could damage a WAL.
  { name: 'SQLite', floor: '3.51.3', version: () => process.versions.sqlite },
  // Before it, one malformed request ended the server.
  { name: '@grpc/grpc-js', floor: '1.14.4', version: () => installedVersion('@grpc/grpc-js') },
  { name: 'protobufjs', floor: '7.6.1', version: () => installedVersion('protobufjs') },
]

export function checkVersions(): Finding[] {
  return floors.map(({ name, floor, version }) => {
    const found = version()
    if (found === undefined)
      return { subject: name, state: 'warning', message: `its version is unknown; ${floor} is needed` }
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

/** Below 0 when the first is older. Both are numbers between dots; what follows them does not count. */
export function compareVersions(first: string, second: string): number {
  const [a, b] = [first, second].map((version) => version.split(/[.-]/).map(Number))
  for (let part = 0; part < 3; part++) {
    const difference = (a?.[part] ?? 0) - (b?.[part] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** Publishes are refused before the reserve is touched. */
export function checkDisk({ dataDir, diskReserveBytes }: Pick<Config, 'dataDir' | 'diskReserveBytes'>): Finding {
  const subject = 'disk'
  // The directory may not have been made yet: it will be on the disk of the one above.
  let directory = dataDir
  while (!existsSync(directory) && directory !== dirname(directory)) directory = dirname(directory)
  const { bavail, bsize } = statfsSync(directory)
  const freeBytes = bavail * bsize
  const message = `${formatBytes(freeBytes)} free for ${dataDir}, of which ${formatBytes(diskReserveBytes)} are kept as a reserve`
  if (freeBytes > 2 * diskReserveBytes) return { subject, state: 'ok', message }
  if (freeBytes > diskReserveBytes) return { subject, state: 'warning', message: `${message}: make room soon` }
  return { subject, state: 'problem', message: `${message}: publishes are refused until there is room` }
}

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let [value, unit] = [bytes, 0]
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}

/** Whether a server could listen where it is told to. Only for when none runs, for it has its own ports. */
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
      const message = `cannot listen on ${host}:${port} (${error.code}); stop what has it, or set another port`
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
