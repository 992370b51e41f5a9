// The architecture rules, as a function from source files to violations.
//
// It matches text, not syntax trees: one tool formats the code, so imports and top-level statements have one form.
// architecture.test.ts runs it over src/ and over small invented files that break each rule.

import { posix } from 'node:path'

export interface SourceFile {
  /** Relative to src/. */
  readonly path: string
  readonly text: string
}

/** A file or folder of src/. A file may import from places of lower levels and from its own. */
interface Place {
  readonly path: string
  readonly level: number
  /** Places of the same level that it may import. */
  readonly also?: readonly string[]
  /** The highest level that it may import; by default every lower one. */
  readonly upTo?: number
}

/** What a handler is, and how it is called: in the server, in a thread of its own, and in a worker over the client. */
const handlerFiles = [
  'attempt',
  'attempt-abort',
  'call-handler',
  'define-handler',
  'file-reader',
  'handled-event',
  'publish-events',
].map((name) => `workers/${name}.ts`)

const places: readonly Place[] = [
  { path: 'lib/', level: 0 },
  { path: 'gen/', level: 0 },
  { path: 'errors.ts', level: 0 },

  { path: 'event/', level: 1 },
  { path: 'config/', level: 1, also: ['event/'] },
  { path: 'telemetry/', level: 1, also: ['event/', 'pipeline/'] },
  { path: 'pipeline/', level: 1, also: ['event/'] },
  { path: 'wire/', level: 1, also: ['event/', 'pipeline/'] },

  {
    ...{ path: 'event-log/event-log.ts', level: 2 },
    also: ['event-log/position.ts', 'event-log/replies.ts', 'event-log/tail.ts'],
  },
  { path: 'event-log/position.ts', level: 2 },
  { path: 'event-log/tail.ts', level: 2, also: ['event-log/position.ts'] },
  { path: 'event-log/replies.ts', level: 2 },
  { path: 'event-log/backlogged.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/check-declaration.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/check-outcome.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/check-registration.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/check-reopened.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/check-topic-cursor.ts', level: 2, also: ['event-log/tail.ts'] },
  { path: 'event-log/held-permits.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/numbered-message.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/position-text.ts', level: 2, also: ['event-log/event-log.ts'] },
  { path: 'event-log/until-aborted.ts', level: 2 },
  ...handlerFiles.map((path) => ({ path, level: 2, also: [...handlerFiles, 'event-log/event-log.ts'] })),
  {
    path: 'store/event-store.ts',
    level: 2,
    also: ['event-log/event-log.ts', 'store/api-keys.ts', 'store/dead-letter.ts'],
  },
  { path: 'store/api-keys.ts', level: 2 },
  { path: 'store/dead-letter.ts', level: 2 },
  { path: 'store/dead-letter-page.ts', level: 2, also: ['store/dead-letter.ts', 'store/page-cursor.ts'] },
  { path: 'store/migrations.ts', level: 2 },
  { path: 'store/page-cursor.ts', level: 2 },
  { path: 'store/read-uuid.ts', level: 2 },
  { path: 'store/sql-files.ts', level: 2 },
  { path: 'store/text-cache.ts', level: 2 },

  { path: 'event-log/embedded/', level: 3 },
  { path: 'event-log/redis/', level: 3 },
  { path: 'event-log/retention.ts', level: 3 },
  { path: 'store/sqlite/', level: 3 },
  { path: 'store/postgres/', level: 3 },
  { path: 'access/', level: 3 },
  { path: 'ingest/', level: 3 },
  { path: 'files/', level: 3 },
  { path: 'workers/', level: 3 },
  { path: 'live-feed/', level: 3 },
  { path: 'landing/', level: 3, also: ['workers/'] },
  { path: 'admin/', level: 3, also: ['workers/'] },
  { path: 'request-reply/', level: 3, also: ['workers/'] },
  { path: 'handlers/', level: 3, also: ['workers/'] },

  { path: 'event-log/open-event-log.ts', level: 4 },
  { path: 'store/open-store.ts', level: 4 },
  { path: 'api/', level: 4 },
  { path: 'client/', level: 4, upTo: 1, also: handlerFiles },

  { path: 'server/', level: 5 },
  { path: 'cli/', level: 6 },
  { path: 'index.ts', level: 6 },
]

/** From this level on a file may read the environment, signals and the clock; files below get them as arguments. */
const processLevel = 6

/** The only file that may import each driver. */
const drivers: Readonly<Record<string, string>> = {
  'event-log/embedded/': 'event-log/open-event-log.ts',
  'event-log/redis/': 'event-log/open-event-log.ts',
  'store/sqlite/': 'store/open-store.ts',
  'store/postgres/': 'store/open-store.ts',
}

/** Where a library, or the generated code, may be imported. */
const homes: Readonly<Record<string, readonly string[]>> = {
  'gen/': ['gen/', 'wire/', 'api/', 'client/'],
  '@bufbuild/protobuf': ['gen/', 'wire/', 'api/', 'client/'],
  '@grpc/grpc-js': ['api/grpc/', 'client/'],
  '@grpc/proto-loader': ['api/grpc/'],
  '@grpc/reflection': ['api/grpc/'],
  'grpc-health-check': ['api/grpc/'],
  fastify: ['api/http/'],
  '@fastify/multipart': ['api/http/'],
  '@valibot/to-json-schema': ['api/http/openapi/'],
  pino: ['telemetry/'],
  'pino-pretty': ['telemetry/'],
  '@prometheus-io/client': ['telemetry/'],
  commander: ['cli/'],
  leven: ['config/'],
  valibot: ['lib/text-value.ts', 'config/', 'api/http/', 'cli/'],
  ink: ['cli/monitor/'],
  react: ['cli/monitor/'],
  pg: ['store/postgres/'],
  'pg-copy-streams': ['store/postgres/'],
  redis: ['event-log/redis/'],
  'node:sqlite': ['lib/sqlite/', 'event-log/embedded/', 'store/sqlite/'],
}

/** All violations, as sentences that begin with the file. */
export function violations(files: readonly SourceFile[]): string[] {
  const product = files.filter(({ path }) => !isTest(path))
  return [...product.flatMap(fileViolations), ...cycles(product)].sort()
}

function fileViolations(file: SourceFile): string[] {
  const place = placeOf(file.path)
  if (place === null) return [`${file.path} has no place in the table of levels`]
  const found = importsOf(file).flatMap((imported) => importViolation(file.path, place, imported) ?? [])
  return [...found, ...stateViolations(file, place)].map((what) => `${file.path} ${what}`)
}

function importViolation(from: string, place: Place, imported: string): string | null {
  if (!imported.startsWith('.')) return libraryViolation(from, imported)
  const target = posix.join(posix.dirname(from), imported)
  if (target.startsWith('../') || isTest(target)) return `imports ${target}, which is no part of the product`
  const home = homes['gen/'] as readonly string[]
  if (target.startsWith('gen/') && !isIn(from, home))
    return `imports ${target}: generated code belongs into ${home.join(', ')}`
  for (const [driver, opener] of Object.entries(drivers)) {
    if (target.startsWith(driver) && !isIn(from, [driver, opener]))
      return `imports ${target}: only ${opener} names this driver`
  }
  const targetPlace = placeOf(target)
  if (targetPlace === null) return `imports ${target}, which has no place in the table of levels`
  return mayImport(place, targetPlace) ? null : `(level ${place.level}) imports ${target} (level ${targetPlace.level})`
}

function mayImport(from: Place, to: Place): boolean {
  if (from === to || from.also?.includes(to.path)) return true
  return to.level < from.level && to.level <= (from.upTo ?? from.level)
}

function libraryViolation(from: string, imported: string): string | null {
  const library = imported
    .split('/')
    .slice(0, imported.startsWith('@') ? 2 : 1)
    .join('/')
  const home = homes[library]
  if (home !== undefined) return isIn(from, home) ? null : `imports ${library}: its home is ${home.join(', ')}`
  return library.startsWith('node:') ? null : `imports ${library}, which has no home in the table`
}

/** Access to the environment, and state that two servers in one process would share. */
function stateViolations({ text }: SourceFile, place: Place): string[] {
  const code = withoutComments(text)
  const found = /^(?:export )?(?:let|var) (\w+)/gm
  const violations = [...code.matchAll(found)].map(([, name]) => `has the module-level variable ${name}`)
  if (place.level >= processLevel) return violations
  if (/\bprocess\.env\b/.test(code)) violations.push('reads process.env')
  if (/\bprocess\.(?:on|once|addListener|prependListener)\(/.test(code)) violations.push('listens to the process')
  if (topLevelExpressions(code).some((each) => /\bDate\.now\(\)|\bnew Date\(\)/.test(each))) {
    violations.push('reads the clock when it is imported')
  }
  return violations
}

/** What runs at import: initialisers and statements at the left margin, up to the first function in them. */
function topLevelExpressions(code: string): string[] {
  return code
    .split(/^(?=[^\s})\]])/m)
    .filter((statement) => !/^(?:export )?(?:default )?(?:async )?(?:function|interface|type|import)\b/.test(statement))
    .flatMap((statement) =>
      /^(?:export )?(?:abstract )?class\b/.test(statement)
        ? [...statement.matchAll(/^ {2}static .*$/gm)].map(([line]) => line)
        : [statement],
    )
    .map((statement) => statement.split(/=>|\bfunction\b|\)(?:: [^={]+)? \{/)[0] ?? '')
}

/** Imports, re-exports, dynamic imports, type imports, and files given by URL or as the script of a thread. */
function importsOf({ text }: SourceFile): string[] {
  const code = withoutComments(text)
  const patterns = [
    /^(?:import|export)\b[^;'"]*?\bfrom ['"]([^'"]+)['"]/gm,
    /^import ['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]/g,
    /\bnew URL\(\s*['"](\.[^'"]+\.ts)['"]/g,
    /createRequire\([^)]*\)\(\s*['"]([^'"]+)['"]/g,
  ]
  const named = patterns.flatMap((pattern) => [...code.matchAll(pattern)].map(([, target]) => target as string))
  const threads = [...code.matchAll(/\bthreadScript\(\s*['"]([^'"]+)['"]/g)].map(([, name]) => `./${name}.ts`)
  return [...named, ...threads]
}

function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

/** Each cycle of files, once. */
function cycles(files: readonly SourceFile[]): string[] {
  const targets = new Map(
    files.map((file) => {
      const relative = importsOf(file).filter((imported) => imported.startsWith('.'))
      return [file.path, relative.map((imported) => posix.join(posix.dirname(file.path), imported))]
    }),
  )
  const found: string[] = []
  const finished = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) found.push(`${[...trail.slice(start), path].join(' -> ')} is a cycle`)
    if (start >= 0 || finished.has(path)) return
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path])
    finished.add(path)
  }
  for (const path of targets.keys()) visit(path, [])
  return found
}

/** The most specific place: `event-log/embedded/` before `event-log/`. */
function placeOf(path: string): Place | null {
  const fitting = places.filter((place) => isIn(path, [place.path]))
  return fitting.toSorted((a, b) => b.path.length - a.path.length)[0] ?? null
}

/** Tests, and files that only tests use, may import anything. */
function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.endsWith('.test-support.ts')
}

function isIn(path: string, homesOfIt: readonly string[]): boolean {
  return homesOfIt.some((home) => (home.endsWith('/') ? path.startsWith(home) : path === home))
}
