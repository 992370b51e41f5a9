// The browser in which the console is tested: Debian's Chromium, never a downloaded one.

import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { LaunchOptions } from 'playwright-core'

export function chromiumOptions(): LaunchOptions {
  const executablePath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'chromium'))
    .find((path) => existsSync(path))
  if (executablePath === undefined) {
    throw new Error('chromium is not on the PATH: run node scripts/ensure-services.mjs, or install it')
  }
  // Chromium has no sandbox for root, and tests in containers are root.
  return { executablePath, chromiumSandbox: process.getuid?.() !== 0 }
}
