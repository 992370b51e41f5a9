SELECT
  group_number AS groupNumber, stream, start_offset AS startOffset, settled_below AS settledBelow,
  handed_out_below AS handedOutBelow, ranges_ahead AS rangesAhead, attempts_kept AS attemptsKept, crc
FROM cursors
ORDER BY group_number, stream
