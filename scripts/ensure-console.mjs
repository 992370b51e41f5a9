// Builds the console when it is missing or older than its source.
//
// It runs on the machine's own Node, which may be old: plain JavaScript, no dependencies.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Only in a checkout with vite: an installed package has the console, and no source of it. */
export function ensureConsole() {
  const [source, built] = [join(root, 'web'), join(root, 'dist/console/index.html')]
  const vite = join(root, 'node_modules/vite/bin/vite.js')
  if (!existsSync(source) || !existsSync(vite)) return
  if (existsSync(built) && statSync(built).mtimeMs >= newestOf(source)) return
  process.stderr.write('building the console ...\n')
  const bundled = join(root, 'node_modules/.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
  const config = join(source, 'vite.config.ts')
  const isOld = Number.parseInt(process.versions.node, 10) < 24
  const { status } = spawnSync(
    isOld ? bundled : process.execPath,
    [vite, 'build', '--config', config, '--logLevel', 'warn'],
    { cwd: root, stdio: ['ignore', 2, 2] },
  )
  // The server runs without it, and says at its address how to build it.
  if (status !== 0) process.stderr.write('the console could not be built; see above\n')
}

/** When the newest file under a directory was changed, or a file was added or removed, in milliseconds since 1970. */
function newestOf(/** @type {string} */ directory) {
  const entries = readdirSync(directory, { withFileTypes: true })
  const times = entries.map((entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() ? newestOf(path) : statSync(path).mtimeMs
  })
  return Math.max(statSync(directory).mtimeMs, ...times)
}
