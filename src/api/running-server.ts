/** A running gRPC or HTTP server. */
export interface RunningServer {
  /** The bound address, for example `127.0.0.1:50051`. */
  readonly address: string
  /**
   * Stops the server: accepts nothing new, finishes running calls, and force-closes connections still open at the
   * deadline.
   */
  drain(deadlineMs: number): Promise<void>
}
