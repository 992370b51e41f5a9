/** How long a publish with overflow `wait` may wait where the caller waits for one answer (docs/http.md). */
export const maxPublishWaitMs = 10_000
