// How a log line shows an error.

const maxCauses = 5

/** An error as fields: type, code, field, message, stack and its causes, at most `maxCauses` deep. */
export function describeError(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return thrown
  const { code, field, cause } = thrown as Error & { code?: unknown; field?: unknown }
  return {
    type: thrown.constructor.name,
    code,
    field,
    message: thrown.message,
    stack: thrown.stack,
    cause: cause === undefined || depth >= maxCauses ? undefined : describeError(cause, depth + 1),
  }
}
