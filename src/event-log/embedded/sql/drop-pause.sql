-- Resumes a group. Parameters: group number.
DELETE FROM paused_groups WHERE group_number = ?
