-- Parameters: group number, stream, first offset.
DELETE FROM settled_ahead WHERE group_number = ? AND stream = ? AND first_offset = ?
