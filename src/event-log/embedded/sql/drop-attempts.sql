-- Removes the attempts of a group. Parameters: group number.
DELETE FROM attempts WHERE group_number = ?
