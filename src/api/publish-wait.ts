/** Longest wait of a single publish with overflow `wait`, in unary gRPC and HTTP (docs/http.md). */
export const maxPublishWaitMs = 10_000
