-- Removes a group's own streams. Parameters: group number.
DELETE FROM streams WHERE group_number = ?
