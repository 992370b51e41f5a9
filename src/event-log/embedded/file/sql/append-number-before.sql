-- The append number of the last entry before an offset. Parameters: stream, offset.
SELECT CAST(append_number AS REAL) AS appendNumber
FROM entries INDEXED BY entries_by_offset
WHERE stream = ? AND first_offset < ?
ORDER BY first_offset DESC
LIMIT 1
