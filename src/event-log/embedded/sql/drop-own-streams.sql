-- Forgets the own streams of a group. Parameters: group number.
DELETE FROM streams WHERE group_number = ?
