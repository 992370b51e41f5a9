-- Lets a group go on. Parameters: group number.
DELETE FROM paused_groups WHERE group_number = ?
