-- Removes the entries of a stream that begin below an offset. Parameters: stream, offset.
DELETE FROM entries WHERE stream = ? AND first_offset < ?
