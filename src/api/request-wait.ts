/** Deadline of a request whose caller gives none, and the longest one, in gRPC and HTTP (docs/requests.md). */
export const defaultRequestMs = 30_000
export const maxRequestMs = 300_000
