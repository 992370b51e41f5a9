/** One of the two servers, while it runs. */
export interface RunningServer {
  /** As `127.0.0.1:50051`. */
  readonly address: string
  /** Stops: takes nothing new, finishes what runs, and closes by force what is still open at the deadline. */
  drain(deadlineMs: number): Promise<void>
}
