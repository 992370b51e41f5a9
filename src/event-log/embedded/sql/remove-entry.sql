-- Removes an entry of a group's own stream. Parameters: stream, first offset.
DELETE FROM entries WHERE stream = ? AND first_offset = ?
