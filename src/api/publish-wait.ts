/** How long a publish with overflow `wait` may wait where the caller waits for one answer (wire.md, Overflow). */
export const maxPublishWaitMs = 10_000
