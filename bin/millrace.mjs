#!/usr/bin/env node
// The launcher of `millrace`: finds a Node that is new enough, and runs the program with it.
//
// The launcher itself may run on an old Node, so it is plain JavaScript and imports only Node's own modules.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const oldestNode = [24, 15]
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const program = await findProgram()

// Without a listener Node opens its inspector on SIGUSR1, and that runs any code for anyone who can connect.
process.on('SIGUSR1', () => {})
if (isNewEnough(process.versions.node)) {
  whenShellOfNpmIsGone(() => process.kill(process.pid, 'SIGTERM'))
  await import(pathToFileURL(program).href)
} else {
  runWith(findOtherNode(), program)
}

/** A checkout runs its sources; an installed package runs dist/, because Node runs no TypeScript in node_modules. */
async function findProgram() {
  if (root.split(sep).includes('node_modules')) {
    const built = join(root, 'dist', 'cli', 'main.js')
    if (!existsSync(built)) fail(`the installation is incomplete: ${built} is missing; reinstall millrace`)
    return built
  }
  if (!existsSync(join(root, 'node_modules'))) fail(`run "npm install" in ${root} first (npm start does so by itself)`)
  if (process.argv[2] === 'start') await buildConsole()
  return join(root, 'src', 'cli', 'main.ts')
}

/** So that a checkout has it whatever command starts the server. */
async function buildConsole() {
  const script = join(root, 'scripts', 'ensure-console.mjs')
  if (existsSync(script)) (await import(pathToFileURL(script).href)).ensureConsole()
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
}

/** The Node that `npm install` installs in node_modules of a checkout. */
function findOtherNode() {
  const other = join(root, 'node_modules', '.bin', 'node')
  if (existsSync(other)) return other
  return fail(
    `Node ${oldestNode.join('.')} or newer is required, and this is ${process.versions.node}; install a newer Node`,
  )
}

/** Runs the program as a child that inherits the terminal; forwards signals, and exits as the child does. */
function runWith(node, script) {
  const child = spawn(node, [...process.execArgv, script, ...process.argv.slice(2)], { stdio: 'inherit' })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  whenShellOfNpmIsGone(() => child.kill('SIGTERM'))
  child.on('error', (error) => fail(`${node} cannot be run: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    for (const each of signals) process.removeAllListeners(each)
    process.kill(process.pid, signal)
  })
}

/**
 * npx and npm scripts run the program in a shell, and pass SIGTERM to that shell alone. Where the shell is dash, it dies of it and the
 * program is left behind. SIGINT cannot be noticed: dash keeps it until the program ends.
 */
function whenShellOfNpmIsGone(stop) {
  // Only where the shell waits for this program alone: with other commands its end can be intended.
  if (!/^'?millrace'?( [^&|;]*)?$/.test(process.env.npm_lifecycle_script ?? '')) return
  const shell = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === shell) return
    clearInterval(timer)
    stop()
  }, 250)
  timer.unref()
}

function fail(message) {
  process.stderr.write(`millrace: ${message}\n`)
  process.exit(1)
}
