-- Removes the ranges that a group has settled out of order. Parameters: group number.
DELETE FROM settled_ahead WHERE group_number = ?
