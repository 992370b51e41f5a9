-- Removes the ledgers of a group. Parameters: group number.
DELETE FROM ledgers WHERE group_number = ?
