// Builds dist/, which the npm package ships: the program, because Node does not run TypeScript under node_modules, and the
// console.

import { spawnSync } from 'node:child_process'
import { cpSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const source = join(root, 'src')
const output = join(root, 'dist')

rmSync(output, { recursive: true, force: true })
const compiler = join(root, 'node_modules/.bin/tsc')
const { status } = spawnSync(compiler, ['--project', join(root, 'scripts/tsconfig.build.json')], { stdio: 'inherit' })
if (status !== 0) process.exit(1)

const vite = [join(root, 'node_modules/vite/bin/vite.js'), 'build', '--config', join(root, 'web/vite.config.ts')]
if (spawnSync(process.execPath, [...vite, '--logLevel', 'warn'], { stdio: 'inherit' }).status !== 0) process.exit(1)

for (const file of globSync('**/*.{lua,sql,wasm}', { cwd: source })) cpSync(join(source, file), join(output, file))
