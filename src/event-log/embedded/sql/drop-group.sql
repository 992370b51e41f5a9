-- Removes a group. Parameters: group number.
DELETE FROM consumer_groups WHERE group_number = ?
