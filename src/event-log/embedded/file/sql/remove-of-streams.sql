-- Removes entries of a range of streams. Parameters: first stream (included), last stream (excluded), max entries.
DELETE FROM entries WHERE append_number IN (
  SELECT append_number FROM entries INDEXED BY entries_by_offset WHERE stream >= ? AND stream < ? LIMIT ? + 0
)
