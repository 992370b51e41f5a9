// A process that uses the log. Part of the Pipeline contract (pipeline.ts).

export interface ProcessStatus {
  /** Made anew at each start. */
  readonly id: string
  readonly roles: readonly string[]
  /** The name of its machine. */
  readonly host: string
  readonly version: string
  /** Milliseconds since 1970. */
  readonly startedAtMs: number
}
