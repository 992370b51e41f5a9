// The refusal of what a full disk has no room for.

import { MillraceError } from '../../errors.ts'

export function diskFull(): MillraceError {
  return new MillraceError(
    'disk_full',
    'the disk is full: the remaining reserve is kept for events that are already accepted; free disk space',
    { retryAfterMs: 1000 },
  )
}
