// Whether a process can do what its roles are for, and what is wrong with it. Part of the Pipeline contract.

/**
 * - `degraded`: something fails, and the process still does its work: a publish is accepted or gets a definite answer
 *   with a retry hint; a process without the role `ingest` takes work.
 * - `unready`: it cannot do its work, is starting or is stopping.
 */
export type ReadinessState = 'ready' | 'degraded' | 'unready'

/** Something that fails in a part of this process. */
export interface Cause {
  /** The part: `log`, `store`, `publishing` or `landing`. */
  readonly component: string
  /** In one word: the code with which Redis refuses writes, such as `MISCONF`, or an error code (errors.ts). */
  readonly reason: string
  /** For the operator. */
  readonly message: string
}
