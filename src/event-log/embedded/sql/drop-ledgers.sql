-- Forgets what a group has done. Parameters: group number.
DELETE FROM ledgers WHERE group_number = ?
