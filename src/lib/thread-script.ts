// Where the script of a worker thread is, in the source and in the built package.

/** The URL of a thread script in the importer's folder, with the importer's extension (`.ts` or built `.js`). */
export function threadScript(name: string, importerUrl: string): URL {
  return new URL(`./${name}${importerUrl.endsWith('.ts') ? '.ts' : '.js'}`, importerUrl)
}
