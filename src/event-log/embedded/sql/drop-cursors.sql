-- Removes the cursors of a group. Parameters: group number.
DELETE FROM cursors WHERE group_number = ?
