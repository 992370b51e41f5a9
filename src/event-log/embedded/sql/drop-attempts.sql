-- Forgets how often a group has tried what it has not settled. Parameters: group number.
DELETE FROM attempts WHERE group_number = ?
