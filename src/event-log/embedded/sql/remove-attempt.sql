-- Parameters: group number, stream, first offset.
DELETE FROM attempts WHERE group_number = ? AND stream = ? AND first_offset = ?
